#include "tools/restore_into.h"

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "tools/cluster_view.h"
#include "tools/node_client.h"
#include "tools/progress_line.h"

namespace cairn::tools {
namespace {

constexpr size_t kPieceBytes = 512 << 10;
constexpr std::chrono::milliseconds kStepTimeout(30'000);
// The nodes read the whole backup before they answer.
constexpr std::chrono::milliseconds kFinishTimeout(3'600'000);
// How long no step may succeed before the restore is given up.
constexpr SteadyTime kPatience = std::chrono::seconds(60);
constexpr std::chrono::milliseconds kPause(500);
constexpr std::chrono::milliseconds kLookEvery(100);
constexpr int kExitUsage = 2;

bool MayTryAgain(const Status& status) {
  switch (status.code()) {
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:  // by a node that stops
    case StatusCode::kAborted:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
    case StatusCode::kInternal:
    case StatusCode::kUnknown: return true;
    default: return false;
  }
}

class RestoreIntoJob {
 public:
  RestoreIntoJob(const RestoreIntoCommand& command, StopSignals* signals,
                 const RestoreIntoStreams& to)
      : command_(command), signals_(*signals), to_(to) {
    for (const std::string& address : command.addresses) {
      nodes_.push_back(std::make_unique<NodeClient>(address));
    }
    const std::string& earlier = command.abort.empty() ? command.finish : command.abort;
    step_.set_id(earlier.empty() ? "restore-" + ToHex(SystemEntropy()) : earlier);
  }

  const std::optional<int>& stopped_by() const { return stopped_by_; }
  bool finish_may_count() const { return finish_may_count_; }
  const std::string& id() const { return step_.id(); }

  Result<v1::ExecuteResponse> Run() {
    ASSIGN_OR_RETURN(size_, PosixFileSystem().SizeOf(command_.restore.backup));
    ASSIGN_OR_RETURN(const std::string sha256, Sum());
    step_.mutable_begin()->set_size_bytes(size_);
    step_.mutable_begin()->set_sha256(sha256);
    // Its answer may be lost.
    begun_ = true;
    RETURN_IF_ERROR(Ask(kStepTimeout).status());
    RETURN_IF_ERROR(SendPieces());
    return Finish();
  }

  Result<v1::ExecuteResponse> Finish() {
    *to_.out << "all nodes check the backup and take it" << std::endl;
    step_.mutable_finish();
    // An earlier run of this program may have had an effect.
    finish_may_count_ = !command_.finish.empty();
    return Ask(kFinishTimeout);
  }

  Status GiveUp() {
    step_.mutable_abort();
    return Ask(kStepTimeout).status();
  }

  // The cluster need not wait for the restore to be given up by itself.
  void Abort() {
    if (!begun_) return;
    step_.mutable_abort();
    for (const auto& node : nodes_) {
      if (node->Restore(step_, std::chrono::seconds(2)).ok()) return;
    }
  }

 private:
  static std::string ToHex(uint64_t number) {
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[number >> shift & 15];
    return out;
  }

  // Calls `use` with piece after piece.
  template <class Use>
  Status ForEachPiece(const Use& use) {
    std::ifstream in(command_.restore.backup, std::ios::binary);
    std::string piece;
    for (uint64_t at = 0; at < size_; at += piece.size()) {
      piece.resize(std::min<uint64_t>(kPieceBytes, size_ - at));
      in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      if (!in) return Internal("cannot read " + command_.restore.backup);
      RETURN_IF_ERROR(use(at, piece));
    }
    return OkStatus();
  }

  Result<std::string> Sum() {
    Sha256 sum;
    RETURN_IF_ERROR(ForEachPiece([&](uint64_t, const std::string& piece) {
      sum.Add(piece);
      return OkStatus();
    }));
    return sum.Hex();
  }

  Status SendPieces() {
    ProgressLine line(to_.terminal);
    const SteadyTime begun = SystemClock().SteadyNow();
    const Status sent = ForEachPiece([&](uint64_t at, const std::string& piece) {
      line.Show(at, size_);
      step_.mutable_piece()->set_offset(at);
      step_.mutable_piece()->set_data(piece);
      RETURN_IF_ERROR(Ask(kStepTimeout).status());
      return Pace(begun, at + piece.size());
    });
    line.Clear();
    return sent;
  }

  // Waits until so many bytes may have been sent.
  Status Pace(SteadyTime begun, uint64_t bytes) {
    if (command_.bytes_per_second_max != 0) {
      const auto due =
          begun + std::chrono::milliseconds(bytes * 1000 / command_.bytes_per_second_max);
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(due - SystemClock().SteadyNow());
      if (left.count() > 0 && !stopped_by_) stopped_by_ = signals_.Wait(left);
    }
    return stopped_by_ ? Cancelled("interrupted") : OkStatus();
  }

  // What a failed try of the finish tells of all tries so far. A verdict of the log is the truth of all
  // of them: a finish that counted is never refused, unless another restore has followed.
  void NoteFinish(const Status& failed) {
    if (failed.outcome() == Outcome::kNotApplied) return;
    finish_may_count_ = failed.outcome() != Outcome::kApplied || !command_.finish.empty();
  }

  // Sends the step to one node after the other until one answers. Every step may be repeated.
  Result<v1::ExecuteResponse> Ask(std::chrono::milliseconds timeout) {
    std::optional<SteadyTime> failing_since;
    for (;;) {
      Result<v1::ExecuteResponse> answer = AskOne(nodes_[next_].get(), timeout);
      if (!answer.ok() && step_.has_finish()) NoteFinish(answer.status());
      if (answer.ok() || stopped_by_ || !MayTryAgain(answer.status())) return answer;
      // The node has no room. It will hardly have more soon.
      const bool full = answer.status().code() == StatusCode::kResourceExhausted;
      if (full && step_.has_begin()) return answer;
      // A step may take long, and fail at its end by a lost link alone.
      const SteadyTime now = SystemClock().SteadyNow();
      if (!failing_since) failing_since = now;
      if (now - *failing_since >= kPatience) return answer;
      next_ = (next_ + 1) % nodes_.size();
      stopped_by_ = signals_.Wait(kPause);
      if (stopped_by_) return answer;
    }
  }

  Result<v1::ExecuteResponse> AskOne(NodeClient* node, std::chrono::milliseconds timeout) {
    auto answer = std::async(std::launch::async, [&] { return node->Restore(step_, timeout); });
    while (answer.wait_for(kLookEvery) != std::future_status::ready) {
      if (stopped_by_) {
        node->Cancel();
      } else {
        stopped_by_ = signals_.Wait(std::chrono::milliseconds(0));
      }
    }
    if (!stopped_by_) stopped_by_ = signals_.Wait(std::chrono::milliseconds(0));
    return answer.get();
  }

  const RestoreIntoCommand& command_;
  StopSignals& signals_;
  const RestoreIntoStreams& to_;
  std::vector<std::unique_ptr<NodeClient>> nodes_;
  size_t next_ = 0;
  v1::RestoreStep step_;
  uint64_t size_ = 0;
  bool begun_ = false;
  bool finish_may_count_ = false;  // it was sent, and whether it took effect is not known
  std::optional<int> stopped_by_;
};

bool Confirm(const RestoreIntoCommand& command, uint64_t index, const RestoreIntoStreams& to) {
  if (command.confirmed) return true;
  if (to.answers == nullptr) {
    *to.err << "error: nobody is there to confirm it: give --yes" << std::endl;
    return false;
  }
  *to.out << "The whole database of the cluster at " << command.addresses.front()
          << " is replaced by the backup of index " << index
          << ".\nWhat was written since is lost. Type 'restore' to go on: " << std::flush;
  std::string answer;
  std::getline(*to.answers, answer);
  if (answer == "restore") return true;
  *to.err << "not restored" << std::endl;
  return false;
}

void PrintFailure(const Status& why, const RestoreIntoJob& job, const RestoreIntoStreams& to) {
  *to.err << "error: ";
  if (job.finish_may_count()) {
    *to.err << "whether the backup was restored is unknown: " << ErrorInWords(why)
            << "\nto finish it, or hear what came of it, run the command again with --finish "
            << job.id() << std::endl;
    return;
  }
  if (job.stopped_by()) {
    *to.err << "interrupted";
  } else {
    *to.err << ErrorInWords(why);
  }
  *to.err << "\nnothing was restored, and the database is as it was" << std::endl;
}

}  // namespace

int RunAbortOfRestore(const RestoreIntoCommand& command, StopSignals* signals,
                      const RestoreIntoStreams& to) {
  RestoreIntoJob job(command, signals, to);
  if (const Status done = job.GiveUp(); !done.ok()) {
    *to.err << "error: " << ErrorInWords(done) << std::endl;
    return job.stopped_by() ? 128 + *job.stopped_by() : 1;
  }
  *to.out << "the restore " << job.id() << " is given up" << std::endl;
  return 0;
}

int RunRestoreInto(RestoreIntoCommand command, StopSignals* signals, const RestoreIntoStreams& to) {
  command.restore.progress = [&to](const std::string& what) { *to.out << what << std::endl; };
  const Result<LogIndex> index = server::VerifyBackup(command.restore);
  if (!index.ok()) {
    *to.err << "error: " << ErrorInWords(index.status()) << std::endl;
    return 1;
  }
  if (!Confirm(command, index->value(), to)) return kExitUsage;
  RestoreIntoJob job(command, signals, to);
  const Result<v1::ExecuteResponse> done = command.finish.empty() ? job.Run() : job.Finish();
  if (!done.ok()) {
    if (!job.finish_may_count()) job.Abort();
    PrintFailure(done.status(), job, to);
    return job.stopped_by() ? 128 + *job.stopped_by() : 1;
  }
  const v1::Row& row = done->results(0).rows(0);
  *to.out << "restored index " << index->value() << " at index " << row.values(1).integer()
          << ", restore count " << row.values(0).integer()
          << "\nclients read their state anew, and begin new sessions by themselves" << std::endl;
  return 0;
}

}  // namespace cairn::tools
