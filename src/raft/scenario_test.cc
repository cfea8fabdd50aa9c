// Every file of testdata/scenarios is a separate test. Each file states what it shows, by which
// schedule, and what would go wrong; scenario_runner_test_util.h explains the commands.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "raft/scenario_runner_test_util.h"

namespace cairn::raft {
namespace {

std::vector<std::string> ScenarioFiles() {
  std::vector<std::string> files;
  const std::string directory = std::string(CAIRN_SOURCE_DIR) + "/src/raft/testdata/scenarios";
  for (const auto& file : std::filesystem::directory_iterator(directory)) {
    files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Scenario : public ::testing::TestWithParam<std::string> {};

TEST_P(Scenario, GoesAsWritten) {
  std::ifstream file(GetParam());
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(text.rfind("# Goal:", 0), 0u) << "a scenario begins by saying what it is for";
  EXPECT_EQ(ScenarioRunner().Run(text), "");
}

INSTANTIATE_TEST_SUITE_P(Files, Scenario, ::testing::ValuesIn(ScenarioFiles()),
                         [](const auto& test) {
                           return std::filesystem::path(test.param).stem().string();
                         });

// A runner that never reports an error would make all scenarios worthless.
TEST(ScenarioRunner, ReportsAWrongExpectationWithItsLine) {
  const std::string failure =
      ScenarioRunner().Run("nodes 1\ntick 1 1\nstabilize\nexpect term 1 7\n");
  EXPECT_EQ(failure, "line 4: expect term 1 7: another value, but it is 1");
}

TEST(ScenarioRunner, DemandsThatTheHealedClusterConverges) {
  EXPECT_EQ(ScenarioRunner().Run("members voters=1,2\nstart 1\n"),
            "the healed cluster did not converge");
}

}  // namespace
}  // namespace cairn::raft
