// The slice of the simulator that runs with all tests: seeds that once failed, the same seeds every
// time, and fresh ones. cairn-sim runs more.
#include "sim/simulation.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/log.h"
#include "base/rng.h"
#include "sim/runner.h"

namespace cairn::sim {
namespace {

class SimulationTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(InitLog("sim", "off")); }

  static Report Run(uint64_t seed, const std::string& profile) {
    const Result<Report> report = RunSeed(seed, profile);
    EXPECT_TRUE(report.ok()) << report.status();
    if (!report.ok()) return {};
    EXPECT_FALSE(report->failure.has_value())
        << *report->failure << "\nagain with: build/cairn-sim --seed " << seed << " --profile "
        << profile;
    return *report;
  }
};

// Without which no failure could be looked at twice.
TEST_F(SimulationTest, OneSeedLeavesOneTrace) {
  for (const char* profile : {"short", "crash"}) {
    const Report first = Run(7, profile);
    const Report again = Run(7, profile);
    EXPECT_EQ(first.trace_hash, again.trace_hash) << profile;
    EXPECT_EQ(first.events, again.events) << profile;
    EXPECT_NE(first.trace_hash, Run(8, profile).trace_hash) << profile;
  }
}

// A load that is not there proves nothing.
TEST_F(SimulationTest, AQuietClusterAnswersAllItsClients) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const Report report = Run(seed, "calm");
    EXPECT_GT(report.clients.acknowledged, 50u);
    EXPECT_EQ(report.clients.unknown, 0u);
    EXPECT_EQ(report.clients.refused, 0u);
  }
}

struct Kept {
  uint64_t seed;
  const char* profile;
};

// Seeds that once failed, each with what it found. (When what a seed draws changes, it may lead
// elsewhere; the named tests beside the mended code do not.)
TEST_F(SimulationTest, SeedsThatOnceFailedPass) {
  constexpr Kept kSeeds[] = {
      // A leader elected anew asked to be woken at once, again and again, until it knew its lease.
      {28, "short"},
      // A leader whose change of membership was done was lost before the others knew that, and they
      // counted by the joint state.
      {74, "storm"},
      // A node read its identity, of which a power cut then took the new name back.
      {1047, "storm"},
      // The simulator's own: a cut that ended late gave a leader that was left out its follower
      // back.
      {353301909391, "short"},
      {9297, "storm"},
      // The simulator's own: a power cut within a write of SQLite, while the log wrote nothing,
      // left a node running without a disk.
      {412976347868, "storm"},
      // A leader waited for a read of its log that never ended, and led on.
      {78001061, "short"},
      // A scan went on with a later state after a read of it had failed, and took that for damage.
      {932130836912, "storm"},
      // A node that was away could not answer those let in meanwhile: it knew no address of them.
      {88002436, "short"},
      // The simulator's own: a vote that went to the disk with a later one was no vote.
      {1483412384, "members"},
      // The simulator's own: it healed a majority of the voters, but not of those that a change
      // under way was bringing.
      {78000257, "short"},
      // A member that was let in behind a voter's back needed its vote, and got no answer: the
      // voter did not know where it lives.
      {880201, "members"},
      // A leader whose rows had rotten, and a member that refused its snapshots, waited for each
      // other.
      {4020, "lag"},
      // A fenced node that was elected tried to hand over once, before the others had its log.
      {4120, "short"},
      // The simulator's own: a node that stopped while a snapshot replaced its damaged database
      // completed that at its start.
      {468, "storm"},
      // The simulator's own: it left out a node that a configuration in the logs of two others,
      // which were down, could not do without.
      {1795407852242, "lag"},
      // A follower held a snapshot that its leader did not know of, and refused all it sent.
      {1795408870212, "lag"},
      // A log was compacted past its durable end, after a snapshot had replaced a damaged file.
      {1795409260472, "lag"},
      // The simulator's own: it left a node out while two could not install what they were given.
      {1795410356616, "swarm"},
      // A log was compacted past the entries that its disk was reading for a follower.
      {1795432559576, "swarm"},
      // The simulator's own: a leader of an early term was to hold what a later one had committed.
      {1795439550498, "swarm"},
  };
  for (const Kept& kept : kSeeds) Run(kept.seed, kept.profile);
}

// Every fourth seed has scrubs.
TEST_F(SimulationTest, ANodeWhoseRowsRotIsFencedAndRebuilt) {
  uint64_t rotten = 0;
  uint64_t rebuilt = 0;
  for (uint64_t seed = 4; seed <= 60 && !HasFailure(); seed += 4) {
    const Report report = Run(seed, "short");
    const auto brought = report.brought.find(Fault::kRowRot);
    if (brought != report.brought.end()) rotten += brought->second;
    rebuilt += report.rebuilt;
  }
  EXPECT_GT(rotten, 5u);
  EXPECT_GT(rebuilt, rotten / 2);
}

TEST_F(SimulationTest, FixedSeedsPass) {
  for (uint64_t seed = 1; seed <= 40 && !HasFailure(); ++seed) Run(seed, "short");
  for (uint64_t seed = 1; seed <= 6 && !HasFailure(); ++seed) {
    Run(seed, "members");
    Run(seed, "lag");
  }
}

TEST_F(SimulationTest, FreshSeedsPass) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const uint64_t first = SystemEntropy() >> 24;
  for (uint64_t n = 0; n < 60 && !HasFailure(); ++n) {
    if (std::chrono::steady_clock::now() > until) break;
    Run(first + n, n % 4 == 0 ? "storm" : "short");
  }
}

}  // namespace
}  // namespace cairn::sim
