// The sizes that ProposalChecker allows.

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "state_machine/sqlite/proposal_check.h"

namespace cairn::state_machine {
namespace {

Command OfStatement(Statement statement) { return {{"s", 1}, 0, Execute{{std::move(statement)}}}; }

// Every command that passes must be one that every member can decode.
TEST(ProposalCheck, ACommandTooLargeForTheLogIsRefused) {
  ProposalChecker checker;
  Statement insert{"INSERT INTO t VALUES(?)", {Value(Blob{std::string(15 << 20, 'b')})}, {}};
  EXPECT_TRUE(checker.Check(OfStatement(insert)).ok());
  EXPECT_TRUE(DecodeCommand(EncodeCommand(OfStatement(insert))).ok());
  insert.positional = {Value(Blob{std::string(kCommandBytesMax, 'b')})};
  EXPECT_EQ(checker.Check(OfStatement(insert)).code(), StatusCode::kInvalidArgument);
}

// Every member must be able to decode what passes: the leader encodes it, and stops at more.
TEST(ProposalCheck, WhatPassesFitsACommandWithItsExpectationsToo) {
  ProposalChecker checker;
  Command command;
  command.id = {std::string(kSessionBytesMax, 's'), 1};
  command.principal = std::string(kPrincipalBytesMax, 'p');
  Execute execute;
  execute.statements.assign(kStatementsPerCommandMax, {"DELETE FROM t", {}, {}});
  execute.expect.assign(kStatementsPerCommandMax,
                        {RowExpectation::Kind::kAtLeast, std::numeric_limits<uint64_t>::max()});
  execute.statements.front() = {"INSERT INTO t VALUES(?1)", {Value(Blob{})}, {}};
  std::string& bytes = std::get<Blob>(execute.statements.front().positional[0]).bytes;
  bytes.assign(kCommandBytesMax, 'b');
  const auto fits = [&] {
    command.operation = execute;
    return checker.Check(command).ok();
  };
  for (size_t cut = kCommandBytesMax / 2; cut > 0; cut /= 2) {
    bytes.resize(bytes.size() - cut);
    if (fits()) bytes.resize(bytes.size() + cut);
  }
  bytes.resize(bytes.size() - 1);
  ASSERT_TRUE(fits()) << bytes.size();
  EXPECT_LE(EncodeCommand(command).size(), kCommandBytesMax);
}

}  // namespace
}  // namespace cairn::state_machine
