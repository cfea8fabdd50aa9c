// ResultAgreement: whether members with different builds of the engine give the same results.
//
// While the builds are the same, results are equal by determinism, and nothing is compared. While
// they differ (members are upgraded one by one), what the leader computes may not be what the
// majority computes. The bad schedule without this: the leader runs the new build and answers a
// client; the other two run the old one and give another result; the next digest finds the leader
// wrong, it is rebuilt, and what the client was told never happened.
//
// So every member tells the leader a number after each entry, which stands for all results up to
// there (results_hash.h). What a majority of the voters has is agreed (of both majorities while the
// configuration is joint). Only then the leader answers, and only then a node answers a linearizable
// read from a database that holds the entry. Whoever has another number at an agreed index is
// wrong, and is rebuilt; a leader, too, before it has answered anybody.
//
// The numbers are cumulative: what is agreed at one index is agreed at all below, so messages may be
// lost, and a member that was away is compared again at its next entry.
//
// A member that has just started compares until the state that it started with is agreed: another
// build may have made that state, and nobody may have found out. So does one whose database was
// replaced.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::node {

// What a member gave for all entries up to `index`.
struct ResultsAt {
  LogIndex index;
  uint64_t hash = 0;
  bool operator==(const ResultsAt&) const = default;
};

// One owner (the core thread).
class ResultAgreement {
 public:
  // Entries whose numbers are kept of each member.
  static constexpr size_t kWindow = 4096;

  void SetSelf(MemberId self, std::string build);
  // Which build a member runs, as it said when it connected last.
  void OnEngine(MemberId member, const std::string& build);
  void SetConfig(const raft::Configuration& config);

  // Whether results are to be compared: builds differ, or what was done before is not agreed yet.
  bool comparing() const { return differ_ || leader_compares_ || agreed_.index < settle_at_; }

  // ---- What this member gave
  void OnApplied(const ResultsAt& results);
  // The database was replaced, or opened anew, and stands there.
  void OnRestored(const ResultsAt& results);

  // ---- Of the leader
  void OnReport(MemberId from, const raft::ResultReport& report);
  // Looks for a majority; true if more is known than before.
  bool Judge();
  // What this member has at the last index of the report at which it knows.
  std::optional<ResultsAt> OwnAmong(const raft::ResultReport& report) const;
  raft::ResultVerdict verdict() const;

  // ---- Of the others
  // What this member has to tell and has not told: from the last agreed index on, or at least its last.
  raft::ResultReport Report(LogIndex told) const;
  // `from_leader`: by the present one, which alone knows whether all builds are the same again.
  void OnVerdict(const raft::ResultVerdict& verdict, bool from_leader);
  void OnLeaderChanged();

  // ---- Of all
  // Linearizable reads and outcomes of entries up to here may be given.
  LogIndex agreed() const { return agreed_.index; }
  // This member has another number than the majority at this index.
  std::optional<LogIndex> wrong_at() const { return wrong_at_; }
  ResultsAt last() const { return last_; }

 private:
  using Window = std::map<LogIndex, uint64_t>;
  static void Put(Window* window, LogIndex index, uint64_t hash);
  bool Majority(const std::set<MemberId>& voters, const ResultsAt& results) const;
  void UpdateDiffer();
  void Check(const ResultsAt& right);

  MemberId self_;
  std::string build_;
  std::map<MemberId, std::string> builds_;
  raft::Configuration config_;
  bool differ_ = false;
  bool leader_compares_ = false;
  LogIndex settle_at_;

  ResultsAt last_;
  std::map<MemberId, Window> told_;  // this member's own, too
  ResultsAt agreed_;
  std::map<LogIndex, uint64_t> pending_;  // verdicts beyond last_: the first and the newest
  std::optional<LogIndex> wrong_at_;
};

}  // namespace cairn::node
