// Helpers for the tests of the log stores.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fault_file_system.h"
#include "log_store/log_store.h"
#include "log_store/segment_log.h"

namespace cairn::log_store {

inline constexpr char kDirectory[] = "data/log";
inline constexpr GroupId kGroup{1};

// Options with small segments, so that a test has many of them, and with all work in the caller's
// thread.
SegmentLogOptions TestOptions(uint64_t segment_bytes = 8192);

raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string payload);
// A write of entries [from, to) whose payloads name index and term.
GroupWrite Append(uint64_t from, uint64_t to, uint64_t term, GroupId group = kGroup);
GroupWrite Vote(uint64_t term, uint64_t vote, uint64_t commit = 0, GroupId group = kGroup);
GroupWrite Truncate(uint64_t from, GroupId group = kGroup);
GroupWrite Reset(uint64_t index, uint64_t term, GroupId group = kGroup);

// "7@2:payload 8@2:...": all entries that the store holds of the group, read back in full.
std::string Dump(LogStore& store, GroupId group = kGroup);
// The state of the group, as "term=.. vote=.. commit=.. snapshot=..@.. last=..".
std::string StateOf(const LogStore& store, GroupId group = kGroup);

// Fails the test and returns null if the log does not open.
std::unique_ptr<LogStore> MustOpen(FileSystem& fs, SegmentLogOptions options = TestOptions());

// Names of the segment files, in order.
std::vector<std::string> SegmentPaths(FileSystem& fs);

#define ASSERT_OK(expr)                    \
  do {                                     \
    const ::cairn::Status s_ = (expr);     \
    ASSERT_TRUE(s_.ok()) << s_.ToString(); \
  } while (false)

}  // namespace cairn::log_store
