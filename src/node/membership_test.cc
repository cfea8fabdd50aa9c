#include "node/membership.h"

#include <gtest/gtest.h>

#include <chrono>

namespace cairn::node {
namespace {

using std::chrono::seconds;
using Kind = Replica::MembershipChange::Kind;

raft::Configuration Voters(std::initializer_list<uint64_t> nodes) {
  raft::Configuration config;
  for (const uint64_t node : nodes) {
    config.voters.insert(MemberId(node));
    config.info[MemberId(node)] = {node, "node" + std::to_string(node), 1};
  }
  config.next_member_id = 10;
  return config;
}

// What a leader with the configuration sees when all are alive.
Contacts AllHeardAt(SteadyTime now, const raft::Configuration& config) {
  Contacts contacts{MemberId(1), {}, now, seconds(1)};
  for (const MemberId voter : config.voters) contacts.last_heard[voter] = now;
  return contacts;
}

// Until the removal is proposed.
void Drive(MembershipJob* job, const raft::CoreStatus& core) {
  for (int second = 1; second <= 3; ++second) {
    job->Step(core, AllHeardAt(seconds(second), core.config));
    if (job->TakeRequests().propose) return;
  }
  FAIL() << "the change was not proposed";
}

// The configuration may be committed, and known to nobody who is left: the next leader says when it
// is done.
TEST(MembershipJob, ALeaderThatIsDeposedWhileItRemovesAnotherDoesNotCallItDone) {
  for (const bool removes_itself : {false, true}) {
    std::optional<Status> said;
    MembershipJob::Callbacks callbacks;
    callbacks.done = [&](const Status& status) { said = status; };
    MembershipJob job({Kind::kRemove, removes_itself ? 1u : 3u, ""}, /*cluster_id=*/7, {},
                      /*level=*/1, seconds(100), std::move(callbacks));
    raft::CoreStatus core;
    core.self = MemberId(1);
    core.config = Voters({1, 2, 3});
    core.leader_ready = true;
    Drive(&job, core);
    EXPECT_FALSE(said.has_value());
    job.OnDeposed(removes_itself);
    ASSERT_TRUE(said.has_value());
    EXPECT_EQ(said->code(), removes_itself ? StatusCode::kOk : StatusCode::kUnavailable) << *said;
  }
}

}  // namespace
}  // namespace cairn::node
