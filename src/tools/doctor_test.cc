#include "tools/doctor.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace cairn::tools {
namespace {

v1::StatusResponse StatusOf(uint64_t node_id) {
  v1::StatusResponse status;
  status.set_cluster_id(77);
  status.set_node_id(node_id);
  status.set_stage("started");
  status.set_leader_node_id(1);
  status.set_commit_index(100'000);
  status.set_applied_index(100'000);
  status.set_level(3);
  status.set_level_max(3);
  status.set_version("0.2.0");
  return status;
}

ClusterLook Healthy(uint64_t nodes) {
  ClusterLook look;
  look.asked = StatusOf(1);
  for (uint64_t id = 1; id <= nodes; ++id) {
    look.nodes.push_back({id, "node" + std::to_string(id) + ":50051", true, StatusOf(id)});
  }
  return look;
}

// The first finding, which is the worst.
Finding Worst(const ClusterLook& look) {
  const std::vector<Finding> findings = Diagnose(look);
  return findings.empty() ? Finding{} : findings.front();
}

TEST(Doctor, AHealthyClusterHasNoFindings) {
  EXPECT_TRUE(Diagnose(Healthy(1)).empty());
  EXPECT_TRUE(Diagnose(Healthy(3)).empty());
  EXPECT_TRUE(Diagnose(Healthy(5)).empty());
  ASSERT_EQ(Diagnose(Healthy(2)).size(), 1u);
  EXPECT_EQ(Worst(Healthy(2)).severity, Severity::kNote);
}

TEST(Doctor, ALossIsAWarningAndALostMajorityIsCritical) {
  ClusterLook look = Healthy(3);
  look.nodes[2].status.reset();
  EXPECT_EQ(Worst(look).severity, Severity::kWarning);
  EXPECT_EQ(Diagnose(look).size(), 2u);
  EXPECT_NE(Worst(look).what.find("2 of 3 voters answer: one more loss"), std::string::npos);
  look.nodes[1].status.reset();
  EXPECT_EQ(Worst(look).severity, Severity::kCritical);
  EXPECT_NE(Worst(look).what.find("1 of 3 voters answer, and 2 are a majority"), std::string::npos);
}

TEST(Doctor, NoLeaderAlthoughAllAnswerIsCritical) {
  ClusterLook look = Healthy(3);
  look.asked.set_leader_node_id(0);
  EXPECT_NE(Worst(look).what.find("no leader is known"), std::string::npos);
}

TEST(Doctor, WhatANodeSaysOfItselfIsToldWithItsName) {
  ClusterLook look = Healthy(3);
  look.nodes[1].status->set_fenced(true);
  look.nodes[1].status->set_trouble(
      "UNAVAILABLE: fenced: the rows are not those that were written");
  EXPECT_NE(Worst(look).what.find("node 2 at node2:50051: UNAVAILABLE: fenced"), std::string::npos);
  EXPECT_NE(Worst(look).advice.find("does not hold what it should"), std::string::npos);
  look = Healthy(3);
  look.nodes[0].status->mutable_digests()->set_doubt("the clock of this node is 9 s behind");
  EXPECT_NE(Worst(look).what.find("9 s behind"), std::string::npos);
  look = Healthy(3);
  look.nodes[2].status->mutable_busy_apply()->set_for_ms(65'000);
  EXPECT_NE(Worst(look).what.find("for 65 s"), std::string::npos);
}

TEST(Doctor, AMemberOfAnotherClusterIsCritical) {
  ClusterLook look = Healthy(3);
  look.nodes[2].status->set_cluster_id(78);
  EXPECT_EQ(Worst(look).severity, Severity::kCritical);
  EXPECT_NE(Worst(look).what.find("node 3 at node3:50051 belongs to another cluster"),
            std::string::npos);
}

TEST(Doctor, ALagIsAWarningAndBuildsAreANote) {
  ClusterLook look = Healthy(3);
  look.nodes[2].status->set_applied_index(5);
  EXPECT_NE(Worst(look).what.find("99995 entries behind"), std::string::npos);
  look = Healthy(3);
  look.nodes[2].status->set_version("0.3.0");
  EXPECT_EQ(Worst(look).severity, Severity::kNote);
  look = Healthy(3);
  for (ClusterLook::Node& node : look.nodes) node.status->set_level_max(4);
  EXPECT_NE(Worst(look).advice.find("cairn member upgrade"), std::string::npos);
  EXPECT_NE(Worst(Healthy(4)).what.find("4 voters survive no more losses than 3"),
            std::string::npos);
}

// Every part of the runbook that the advice of the source names is there.
TEST(Doctor, ThePartsOfTheRunbookThatItNamesExist) {
  const auto read = [](const char* path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string runbook = read(CAIRN_SOURCE_DIR "/docs/operations/runbook.md");
  std::string source = read(CAIRN_SOURCE_DIR "/src/tools/doctor.cc");
  source = std::regex_replace(source, std::regex("\"\\s*\\n\\s*\""), "");
  const std::regex parts("\\(([A-Z][^()\"]*)\\)\"");
  std::set<std::string> named;
  for (std::sregex_iterator at(source.begin(), source.end(), parts), end; at != end; ++at) {
    std::string rest = (*at)[1];
    while (!rest.empty()) {
      const size_t semicolon = rest.find("; ");
      named.insert(rest.substr(0, semicolon));
      rest = semicolon == std::string::npos ? "" : rest.substr(semicolon + 2);
    }
  }
  EXPECT_GE(named.size(), 7u);
  for (const std::string& part : named) {
    EXPECT_NE(runbook.find("\n## " + part + "\n"), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace cairn::tools
