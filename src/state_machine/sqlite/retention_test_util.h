// What tests of retained changes share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/change_retention.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/watched_test_util.h"

namespace cairn::state_machine {

inline constexpr uint64_t kDayMs = 24 * 3'600'000;

inline Command RetainCommand(std::string table, uint64_t retain_ms, uint64_t bytes_max = 0) {
  Command command;
  command.operation = RetainChanges{std::move(table), retain_ms, bytes_max};
  return command;
}
inline Command Raise() { return {{}, 0, RaiseLevel{kLevelDataPlatform}}; }

// All that follows the position, as "position change".
struct Told {
  Status status;
  std::vector<std::string> changes;
};

inline Told ReadAll(StateMachine& machine, std::vector<std::string> tables, ChangePosition after,
                    size_t page_bytes = 1 << 20) {
  Told told;
  RetainedQuery query{std::move(tables), after, {}, {}, page_bytes};
  ChangePosition last = after;
  for (;;) {
    auto view = machine.OpenReadView(std::chrono::seconds(5));
    EXPECT_TRUE(view.ok()) << view.status();
    const Result<RetainedPage> page = (*view)->Retained(query);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page->retained || after < page->oldest) {
      told.status = OutOfRange(ToString(page->oldest));
      return told;
    }
    EXPECT_TRUE(!page->continues || query.open.has_value());
    for (const auto& command : page->commands) {
      for (const Change& change : command->changes) {
        if (change.position <= after) continue;
        EXPECT_LT(last, change.position) << "out of order, or twice";
        last = change.position;
        told.changes.push_back(ToString(change.position) + " " + TextOf(change));
      }
    }
    if (page->whole) {
      EXPECT_EQ(page->through, std::max(after, EndOf((*view)->applied())));
      EXPECT_FALSE(page->open.has_value());
      return told;
    }
    EXPECT_LT(query.cursor, page->cursor);
    query.cursor = page->cursor;
    query.open = page->open;
  }
}

class Retention : public testing::Test {
 protected:
  void SetUp() override {
    replicas.Do(Raise());
    replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    replicas.Must("CREATE TABLE other(x)");
  }
  Status Retain(const std::string& table, uint64_t retain_ms, uint64_t bytes_max = 0) {
    return replicas.Do(RetainCommand(table, retain_ms, bytes_max)).status;
  }
  StateMachine& machine() { return replicas.first().machine(); }
  std::vector<RetainedSetting> Settings() {
    auto view = machine().OpenReadView(std::chrono::seconds(5));
    EXPECT_TRUE(view.ok());
    return *(*view)->RetainedSettings();
  }
  ChangePosition Since(const std::string& table) {
    for (const RetainedSetting& setting : Settings()) {
      if (setting.table == table) return setting.since;
    }
    ADD_FAILURE() << "not retained: " << table;
    return {};
  }
  std::vector<std::string> AllOf(const std::string& table) {
    return ReadAll(machine(), {table}, Since(table)).changes;
  }

  Replicas replicas;
};

}  // namespace cairn::state_machine
