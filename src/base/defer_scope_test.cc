#include "base/defer_scope.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace cairn {
namespace {

TEST(DeferScope, WithoutOneWorkIsDoneAtOnce) {
  std::string done;
  DeferScope::Defer([&] { done += "a"; });
  EXPECT_EQ(done, "a");
}

TEST(DeferScope, WhatIsDeferredWaitsForTheEndOfTheOutermostScopeAndKeepsItsOrder) {
  std::string done;
  {
    DeferScope outer;
    DeferScope::Defer([&] { done += "a"; });
    {
      DeferScope inner;
      DeferScope::Defer([&] { done += "b"; });
    }
    DeferScope::Defer([&] { done += "c"; });
    EXPECT_EQ(done, "");
  }
  EXPECT_EQ(done, "abc");
}

TEST(DeferScope, WorkThatDefersMoreAtTheEndIsNotLost) {
  std::string done;
  {
    DeferScope scope;
    DeferScope::Defer([&] {
      done += "a";
      DeferScope::Defer([&] { done += "b"; });
    });
  }
  EXPECT_EQ(done, "ab");
}

TEST(DeferScope, HoldsBackItsOwnThreadOnly) {
  std::string done;
  DeferScope scope;
  std::thread([&] { DeferScope::Defer([&] { done += "a"; }); }).join();
  EXPECT_EQ(done, "a");
}

}  // namespace
}  // namespace cairn
