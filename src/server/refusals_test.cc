#include "server/refusals.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cairn::server {
namespace {

using state_machine::AuditNote;

TEST(Refusals, AreCountedByWhoWhereAndWhy) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i) refusals.Count("principal:eve", "192.0.2.9", "lacks backup");
  refusals.Count("principal:eve", "192.0.2.10", "lacks backup");
  const std::vector<AuditNote> notes = refusals.Take();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0], (AuditNote{"denied", "principal:eve", "192.0.2.10", "lacks backup", 1}));
  EXPECT_EQ(notes[1], (AuditNote{"denied", "principal:eve", "192.0.2.9", "lacks backup", 1000}));
  EXPECT_TRUE(refusals.Take().empty());
}

TEST(Refusals, AStrangerWithManyReasonsMakesFewRows) {
  Refusals refusals;
  for (int i = 0; i < 1000; ++i)
    refusals.Count("principal:eve", "", "no table " + std::to_string(i));
  refusals.Count("principal:bob", std::string(1000, 'a'), std::string(1000, 'b'));
  const std::vector<AuditNote> notes = refusals.Take();
  ASSERT_EQ(notes.size(), Refusals::kRowsMax + 1);
  uint64_t all = 0;
  for (const AuditNote& note : notes) all += note.count;
  EXPECT_EQ(all, 1001u);
  EXPECT_EQ(notes.back().count, 1001u - Refusals::kRowsMax);
}

TEST(Refusals, WhatCouldNotBeToldIsCountedAgain) {
  Refusals refusals;
  for (int i = 0; i < 20; ++i) refusals.Count("principal:eve", "", std::to_string(i));
  refusals.PutBack(refusals.Take());
  uint64_t all = 0;
  for (const AuditNote& note : refusals.Take()) all += note.count;
  EXPECT_EQ(all, 20u);
}

TEST(Refusals, LongTextsAreCut) {
  Refusals refusals;
  refusals.Count(std::string(1000, 'p'), std::string(1000, 'a'), std::string(1000, 'r'));
  const std::vector<AuditNote> notes = refusals.Take();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].principal.size(), state_machine::kPrincipalBytesMax);
  EXPECT_EQ(notes[0].address.size(), state_machine::kAddressBytesMax);
  EXPECT_EQ(notes[0].text.size(), state_machine::kAuditTextBytesMax);
}

}  // namespace
}  // namespace cairn::server
