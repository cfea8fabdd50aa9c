// Tests that each checker of histories fires when a node gives a wrong answer: one answer of a run
// without faults is changed on its way to the client.
#include "sim/histories.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "sim/plan.h"
#include "sim/simulation.h"

namespace cairn::sim {
namespace {

using state_machine::CommandResult;
using testing::HasSubstr;
using Tamper = std::function<void(const Task&, CommandResult*)>;

class HistoriesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(InitLog("sim", "off")); }

  // Runs a calm seed with only this kind of data.
  static Report Run(Family family, Tamper tamper) {
    Plan plan = MakePlan(3, "calm").value();
    plan.workload.clients = 4;
    plan.workload.depth = 2;
    plan.workload.think_mean = milliseconds(300);
    plan.workload.tasks.keys = 2;
    plan.workload.tasks.read_share = 0.5;
    plan.workload.tasks.weights = {};
    plan.workload.tasks.weights[static_cast<size_t>(family)] = 10;
    if (family == Family::kSessions) {
      plan.workload.tasks.weights[static_cast<size_t>(Family::kLists)] = 10;
    }
    plan.workload.tamper = std::move(tamper);
    return Simulation(plan).Run();
  }

  // Changes the 60th operation that `chosen` accepts.
  static std::string Verdict(Family family,
                             const std::function<bool(const Task&, CommandResult*)>& change) {
    auto seen = std::make_shared<int>(0);
    auto done = std::make_shared<bool>(false);
    const Report report = Run(family, [=](const Task& task, CommandResult* result) {
      if (*done || task.family != (family == Family::kSessions ? Family::kLists : family)) return;
      if (++*seen > 60) *done = change(task, result);
    });
    EXPECT_TRUE(*done);
    return report.failure.value_or("passed");
  }
};

int64_t* Number(CommandResult* result) {
  if (result->statements.size() != 1 || result->statements[0].rows.size() != 1) return nullptr;
  return std::get_if<int64_t>(&result->statements[0].rows[0].back());
}

bool IsRead(const Task& task) { return !task.first.write; }

TEST_F(HistoriesTest, WithoutAWrongAnswerAllPass) {
  for (size_t i = 0; i < kFamilies; ++i) {
    const auto family = static_cast<Family>(i);
    const Report report = Run(family, {});
    EXPECT_EQ(report.failure.value_or("passed"), "passed") << FamilyName(family);
    EXPECT_GT(report.judged.operations, 200u) << FamilyName(family);
    EXPECT_EQ(report.judged.unknown, 0u) << FamilyName(family);
  }
}

TEST_F(HistoriesTest, AStaleReadOfACounterIsNotLinearizable) {
  EXPECT_THAT(Verdict(Family::kCounters,
                      [](const Task& task, CommandResult* result) {
                        if (!IsRead(task) || Number(result) == nullptr) return false;
                        *Number(result) -= 5;
                        return true;
                      }),
              HasSubstr("the history of counters, linearizability: "));
}

TEST_F(HistoriesTest, AnIncrementAppliedTwiceIsNotLinearizable) {
  EXPECT_THAT(Verdict(Family::kCounters,
                      [](const Task& task, CommandResult* result) {
                        if (IsRead(task) || Number(result) == nullptr) return false;
                        ++*Number(result);
                        return true;
                      }),
              HasSubstr("the history of counters, linearizability: "));
}

TEST_F(HistoriesTest, AReadOfAnOverwrittenRegisterIsNotLinearizable) {
  auto first = std::make_shared<std::optional<int64_t>>();
  EXPECT_THAT(Verdict(Family::kRegisters,
                      [first](const Task& task, CommandResult* result) {
                        if (!IsRead(task) || Number(result) == nullptr) return false;
                        if (!*first) *first = *Number(result);
                        if (**first + 10 > *Number(result)) return false;
                        *Number(result) = **first;
                        return true;
                      }),
              HasSubstr("the history of registers, linearizability: "));
}

TEST_F(HistoriesTest, AnItemThatIsMissingIsLost) {
  auto item = std::make_shared<std::optional<state_machine::Value>>();
  const Report report = Run(Family::kSets, [item](const Task& task, CommandResult* result) {
    if (!IsRead(task)) return;
    auto& rows = result->statements.at(0).rows;
    if (!*item && rows.size() > 3) *item = rows.front().at(0);
    if (*item) std::erase_if(rows, [&](const auto& row) { return row.at(0) == **item; });
  });
  EXPECT_THAT(report.failure.value_or("passed"), HasSubstr("the history of sets, sets: "));
}

TEST_F(HistoriesTest, AListWithoutAnElementThatWasReadIsNotStrictlySerializable) {
  EXPECT_THAT(Verdict(Family::kLists,
                      [](const Task& task, CommandResult* result) {
                        if (!IsRead(task)) return false;
                        auto& rows = result->statements.at(0).rows;
                        if (rows.empty()) return false;
                        auto* text = std::get_if<std::string>(&rows[0].at(0));
                        const size_t comma = text->rfind(',');
                        if (comma == std::string::npos) return false;
                        text->resize(comma);
                        return true;
                      }),
              HasSubstr("the history of lists, strict serializability: "));
}

TEST_F(HistoriesTest, ASessionThatDoesNotSeeItsOwnWriteIsFound) {
  // Many reads are changed, because not all reads follow a write.
  auto changes = std::make_shared<int>(0);
  EXPECT_THAT(Verdict(Family::kSessions,
                      [changes](const Task& task, CommandResult* result) {
                        if (!task.of_session) return false;
                        bool changed = false;
                        for (auto& statement : result->statements) {
                          if (statement.rows.empty()) continue;
                          changed = true;
                          statement.rows.clear();
                        }
                        return changed && ++*changes == 20;
                      }),
              HasSubstr("the history of sessions, sessions: "));
}

TEST_F(HistoriesTest, ASessionThatReadsWhatNobodyWroteIsNotSerializable) {
  EXPECT_THAT(Verdict(Family::kSessions,
                      [](const Task& task, CommandResult* result) {
                        auto& rows = result->statements.at(0).rows;
                        if (!task.of_session || rows.empty()) return false;
                        std::get<std::string>(rows[0].at(0)) += ",999999";
                        return true;
                      }),
              HasSubstr("the history of sessions, serializability: garbage"));
}

TEST_F(HistoriesTest, ATransferOfWhichHalfIsSeenChangesTheTotal) {
  EXPECT_THAT(Verdict(Family::kBank,
                      [](const Task& task, CommandResult* result) {
                        if (!IsRead(task)) return false;
                        ++std::get<int64_t>(result->statements.at(0).rows.at(0).at(1));
                        return true;
                      }),
              HasSubstr("the history of bank, bank: wrong total"));
}

TEST_F(HistoriesTest, AVersionThatGoesBackIsFound) {
  EXPECT_THAT(Verdict(Family::kVersions,
                      [](const Task& task, CommandResult* result) {
                        if (!IsRead(task)) return false;
                        *Number(result) -= 3;
                        return true;
                      }),
              HasSubstr("the history of versions, versions: went back"));
}

// Versions only ever grow, but no table was changed that often.
TEST_F(HistoriesTest, AVersionAheadOfAllChangesIsNotLinearizable) {
  const Report report = Run(Family::kVersions, [](const Task& task, CommandResult* result) {
    if (task.family == Family::kVersions && IsRead(task)) ++*Number(result);
  });
  EXPECT_THAT(report.failure.value_or("passed"),
              HasSubstr("the history of versions, linearizability: "));
}

TEST_F(HistoriesTest, ACommitThatDoesSomethingElseThanItsPrepareIsFound) {
  EXPECT_THAT(Verdict(Family::kBank,
                      [](const Task& task, CommandResult* result) {
                        if (IsRead(task) || result->statements.size() != 2) return false;
                        auto& rows = result->statements.at(0).rows;
                        if (rows.empty() || !task.first.write->index()) return false;
                        if (!std::holds_alternative<state_machine::Prepare>(*task.first.write)) {
                          return false;
                        }
                        rows[0].back() = int64_t{1};
                        return true;
                      }),
              HasSubstr("did something else than its prepare"));
}

TEST_F(HistoriesTest, AreWrittenInAShapeThatIsReadBack) {
  const Report report = Run(Family::kLists, {});
  const std::string prefix = testing::TempDir() + "histories_test." + std::to_string(getpid());
  const std::vector<std::string> paths = report.histories->Write(prefix);
  ASSERT_THAT(paths, testing::Contains(prefix + ".lists.jsonl"));
  std::ifstream in(prefix + ".lists.jsonl");
  std::stringstream text;
  text << in.rdbuf();
  const auto read = history::ParseJsonLines(text.str());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, report.histories->of(Family::kLists));
  for (const std::string& path : paths) std::filesystem::remove(path);
}

}  // namespace
}  // namespace cairn::sim
