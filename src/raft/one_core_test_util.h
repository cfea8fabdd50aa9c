// OneCore: a single core that a test drives by hand, to test one rule at a time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/cluster_test_util.h"
#include "raft/core.h"

namespace cairn::raft {

inline Entry MakeEntry(uint64_t index, uint64_t term) {
  return {Term(term), LogIndex(index), EntryType::kNormal,
          MakePayload(std::to_string(term) + "/" + std::to_string(index))};
}

// Node 1 of `voters`. Outputs accumulate in the fields below; a write is durable only when the test
// says so.
class OneCore {
 public:
  explicit OneCore(const std::set<uint64_t>& voters, std::vector<uint64_t> terms = {},
                   uint64_t term = 0, Options options = {}) {
    options.self = MemberId(1);
    options.election_ticks = 10;
    options.heartbeat_ticks = 2;
    InitialState initial;
    initial.config = MakeConfig(voters);
    for (uint64_t each : terms) initial.log.push_back(MakeEntry(initial.log.size() + 1, each));
    initial.hard_state.term = Term(std::max(term, terms.empty() ? 0 : terms.back()));
    core = std::make_unique<RaftCore>(options, std::move(initial), &rng_);
    Take();
  }

  void Step(Input input) {
    core->Step(std::move(input));
    Take();
  }
  void From(uint64_t from, uint64_t term, MessageBody body) {
    Step(Received{{MemberId(from), MemberId(1), Term(term), std::move(body)}});
  }
  void Tick(int ticks = 1) {
    for (int i = 0; i < ticks; ++i) Step(raft::Tick{});
  }
  void Propose(std::string bytes) {
    raft::Propose propose;
    propose.proposals.push_back({++id_, MakePayload(std::move(bytes))});
    Step(std::move(propose));
  }
  // Makes every write durable; the messages that waited for the writes join `sent`.
  void Sync() {
    while (!writes.empty()) {
      Persist persist = std::move(writes.front());
      writes.erase(writes.begin());
      for (Message& message : persist.send_after) sent.push_back(std::move(message));
      Step(Persisted{persist.ticket});
    }
  }
  void BecomeLeader() {
    while (core->role() != Role::kPreCandidate) Tick();
    const uint64_t term = core->term().value() + 1;
    const auto voters = core->status().config.voters;
    for (MemberId id : voters) From(id.value(), term, PreVoteReply{true});
    Sync();
    for (MemberId id : voters) {
      if (core->role() == Role::kCandidate) From(id.value(), term, VoteReply{true});
    }
    ASSERT_EQ(core->role(), Role::kLeader);
    Sync();
  }
  void Ack(uint64_t from, uint64_t index) {
    From(from, core->term().value(), AppendReply{true, LogIndex(index), LogIndex(), Term()});
  }

  // The messages of one kind that were sent since the last call.
  template <class Body>
  std::vector<Message> Sent() {
    std::vector<Message> found;
    std::erase_if(sent, [&](Message& message) {
      if (!std::holds_alternative<Body>(message.body)) return false;
      found.push_back(message);
      return true;
    });
    return found;
  }
  template <class Body>
  Body Last() {
    const std::vector<Message> found = Sent<Body>();
    EXPECT_FALSE(found.empty());
    return found.empty() ? Body{} : std::get<Body>(found.back().body);
  }
  CoreStatus status() const { return core->status(); }
  // Takes all output there is, but does not make the core announce a commit (TellCommit).
  void TakeOutputs() {
    while (core->HasOutput()) {
      Output output = core->TakeOutput();
      Move(&output.send_now, &sent);
      Move(&output.persists, &writes);
      Move(&output.reads, &reads);
      Move(&output.dropped, &dropped);
      Move(&output.accepted, &accepted);
      Move(&output.fetches, &fetches);
      Move(&output.send_snapshots, &snapshots);
      if (output.committed) batches.push_back(*output.committed);
      if (output.install_snapshot) installs.push_back(*output.install_snapshot);
    }
  }

  std::unique_ptr<RaftCore> core;
  std::vector<Message> sent;
  std::vector<Persist> writes;
  std::vector<CommittedBatch> batches;
  std::vector<ReadGrant> reads;
  std::vector<Dropped> dropped;
  std::vector<Accepted> accepted;
  std::vector<Fetch> fetches;
  std::vector<InstallSnapshot> installs;
  std::vector<SendSnapshot> snapshots;

 private:
  template <class T>
  static void Move(std::vector<T>* from, std::vector<T>* to) {
    to->insert(to->end(), std::make_move_iterator(from->begin()),
               std::make_move_iterator(from->end()));
  }
  void Take() {
    TakeOutputs();
    if (!core->commit_untold()) return;
    core->Step(TellCommit{});
    TakeOutputs();
  }

  Rng rng_{7};
  uint64_t id_ = 0;
};

inline AppendRequest MakeAppend(uint64_t prev, uint64_t prev_term, uint64_t commit,
                                std::vector<Entry> entries = {}) {
  return {LogIndex(prev), Term(prev_term), LogIndex(commit), std::move(entries)};
}

}  // namespace cairn::raft
