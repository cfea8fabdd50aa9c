// ResultAgreement: whether members with different builds of the engine give the same results.
//
// While the builds are the same, determinism makes the results equal, and nothing is compared.
// While the builds differ (members are upgraded one by one), what the leader computes may not be
// what the majority computes. The bad schedule without a comparison: the leader runs the new build
// and answers a client. The other two run the old build and give another result. The next digest
// finds the leader wrong. The leader is rebuilt, and what the client was told never happened.
//
// So every member reports a number to the leader after each entry. The number stands for all
// results up to there (results_hash.h). A number that a majority of the voters has is agreed (both
// majorities while the configuration is joint). Only then does the leader answer, and only then
// does a node answer a linearizable read from a database that holds the entry. A member that has
// another number at an agreed index is wrong, and is rebuilt. This holds for a leader, too, before
// it has answered anybody.
//
// The numbers are cumulative: what is agreed at one index is agreed at all lower indexes. So
// messages may be lost, and a member that was away is compared again at its next entry.
//
// A member that has just started compares until the state with which it started is agreed: another
// build may have made that state, and nobody may have noticed. So does a member whose database was
// replaced. A leader that does not compare tells such a member what the leader itself has, as long
// as both are equal. If they differ, the leader compares, too, since either may be the wrong one.
// The bad schedule otherwise: the leader holds a wrong state that nobody has noticed. A member with
// the right state restarts, takes the leader's word for that of the majority, and is rebuilt with
// the wrong state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"

namespace cairn::node {

// The number of a member for all entries up to `index`.
struct ResultsAt {
  LogIndex index;
  uint64_t hash = 0;
  bool operator==(const ResultsAt&) const = default;
};

// Voters that gave different results at one entry, of which no majority is of one mind.
struct Division {
  LogIndex index;
  std::map<uint64_t, std::set<MemberId>> sides;  // by the number that they gave
  std::set<MemberId> untold;                     // voters that have not told of the entry
  bool final = false;  // whatever the others tell, no side becomes a majority
  bool operator==(const Division&) const = default;
};

// Not thread-safe: the core thread owns it.
class ResultAgreement {
 public:
  // The number of entries whose numbers are kept for each member.
  static constexpr size_t kWindow = 4096;

  void SetSelf(MemberId self, std::string build);
  // The build that a member runs, as the member said when it last connected.
  void OnEngine(MemberId member, const std::string& build);
  // The members that have not been heard for long. Their builds count no more until they are heard:
  // they acknowledge nothing meanwhile, so what is committed is what the others hold.
  void SetSilent(std::set<MemberId> silent);
  void OnHeard(MemberId member);
  void SetConfig(const raft::Configuration& config);

  // Whether results are compared: builds differ, or an earlier state is not agreed yet.
  bool comparing() const { return differ_ || leader_compares_ || agreed_.index < settle_at_; }

  // ---- What this member gave
  void OnApplied(const ResultsAt& results);
  // The database was replaced or opened anew, and stands at `results`.
  void OnRestored(const ResultsAt& results);

  // ---- Of the leader
  void OnReport(MemberId from, const raft::ResultReport& report);
  // Looks for a majority. Returns true if more is agreed than before.
  bool Judge();
  // The number of this member at the last index of the report for which this member has one.
  std::optional<ResultsAt> OwnAmong(const raft::ResultReport& report) const;
  // Compares until all that was applied so far is agreed.
  void CompareAgain() { settle_at_ = std::max(settle_at_, last_.index); }
  // Voters have different builds, as far as this member knows.
  bool builds_differ() const { return differ_; }
  // Voters that have not told of the last entry that this member has applied.
  std::vector<MemberId> Behind() const;
  // The first entry beyond the agreed ones at which voters are known to differ.
  std::optional<Division> Divided() const;
  raft::ResultVerdict verdict() const;

  // ---- Of the others
  // What this member has not reported yet: the entries from the last agreed index on, or at least
  // the last entry.
  raft::ResultReport Report(LogIndex told) const;
  // `from_leader`: the present leader sent the verdict. Only the leader knows whether all builds
  // are the same again.
  void OnVerdict(const raft::ResultVerdict& verdict, bool from_leader);
  // `leads`: this member is the leader. Another member goes on comparing if the last leader did,
  // until the new leader says otherwise.
  void OnLeaderChanged(bool leads);

  // ---- Of all
  // Linearizable reads and outcomes of entries up to this index may be given.
  LogIndex agreed() const { return agreed_.index; }
  // The index at which this member has another number than the majority.
  std::optional<LogIndex> wrong_at() const { return wrong_at_; }
  ResultsAt last() const { return last_; }

 private:
  using Window = std::map<LogIndex, uint64_t>;
  static void Put(Window* window, LogIndex index, uint64_t hash);
  bool Majority(const std::set<MemberId>& voters, const ResultsAt& results) const;
  bool JudgeAt(LogIndex index);
  std::set<MemberId> Voters() const;
  void UpdateDiffer();
  void Check(const ResultsAt& right);

  MemberId self_;
  std::string build_;
  std::map<MemberId, std::string> builds_;
  std::set<MemberId> silent_;
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
