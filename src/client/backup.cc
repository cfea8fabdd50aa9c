#include "client/backup.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "cairn/v1/database.grpc.pb.h"
#include "client/backup_file.h"
#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn::client {
namespace {

constexpr std::chrono::milliseconds kLookEvery(100);
constexpr std::chrono::milliseconds kPause(500);  // between two attempts
constexpr int kTriesMin = 5;
constexpr int kBeginningsMax = 20;
constexpr int kTriesHere = 10;  // in a row at the node that may hold what it has sent
// A node that sends nothing for this long is given up.
constexpr SteadyTime kSilenceMax = std::chrono::seconds(60);
constexpr uint64_t kBytesPerSecondMin = 64 << 10;
constexpr std::string_view kSqliteMagic("SQLite format 3\0", 16);

// The file is sent as the node has it: in WAL mode. A file in WAL mode cannot be opened where nothing
// can be written. The bytes 18 and 19 of a database say how it is written and read; 1 is without a
// WAL (https://www.sqlite.org/fileformat2.html, section 1.3.3). There is no WAL beside a backup.
void LeaveWalMode(std::string* first) {
  (*first)[18] = 1;
  (*first)[19] = 1;
}

// One Backup call, on the thread of the caller, who may end the wait for each response.
class BackupCall {
 public:
  BackupCall(const std::string& endpoint, const security::TlsPtr& tls,
             const v1::BackupRequest& request, std::function<bool()> proceed)
      : proceed_(std::move(proceed)), stub_(v1::Database::NewStub(rpc::NewChannel(endpoint, tls))) {
    reader_ = stub_->AsyncBackup(&context_, request, &queue_, nullptr);
  }
  ~BackupCall() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // The next response, which lives until the next call. Null: the node has ended the call well. The
  // first call of Next waits for the connection.
  Result<v1::BackupResponse*> Next() {
    if (!std::exchange(began_, true)) {
      ASSIGN_OR_RETURN(const bool started, Await());
      if (!started) return End();
    }
    reader_->Read(&response_, nullptr);
    ASSIGN_OR_RETURN(const bool come, Await());
    if (!come) return End();
    return &response_;
  }

 private:
  // Waits for the operation under way.
  Result<bool> Await() {
    const SteadyTime by = SystemClock().SteadyNow() + kSilenceMax;
    void* tag = nullptr;
    bool ok = false;
    for (;;) {
      const auto state = queue_.AsyncNext(&tag, &ok, rpc::DeadlineAfter(kLookEvery));
      if (state == grpc::CompletionQueue::GOT_EVENT) return ok;
      if (state == grpc::CompletionQueue::SHUTDOWN) return Internal("the call is over");
      if (!proceed_()) return Cancelled("the backup was stopped");
      if (SystemClock().SteadyNow() >= by) {
        return Unavailable("the node has sent nothing for a minute");
      }
    }
  }
  Result<v1::BackupResponse*> End() {
    reader_->Finish(&status_, nullptr);
    RETURN_IF_ERROR(Await().status());
    if (status_.ok()) return nullptr;
    return rpc::FromGrpc(status_, context_.GetServerTrailingMetadata(), Outcome::kNone);
  }

  const std::function<bool()> proceed_;
  const std::unique_ptr<v1::Database::Stub> stub_;
  grpc::ClientContext context_;
  // An operation that is still under way when the call is given up writes here, until the queue is
  // empty.
  v1::BackupResponse response_;
  grpc::Status status_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::BackupResponse>> reader_;
  bool began_ = false;
};

class BackupJob {
 public:
  BackupJob(const BackupOptions& options, std::chrono::milliseconds timeout, BackupFile* file)
      : options_(options), file_(*file) {
    request_.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
    request_.set_bytes_per_second_max(options.bytes_per_second_max);
    request_.set_may_resume(true);
    if (options.stale) request_.mutable_read()->set_level(v1::READ_LEVEL_STALE);
  }

  bool Proceeds() const { return !options_.proceed || options_.proceed(progress_); }

  // An error of the caller's own disk is final: no other node would help.
  const std::optional<Status>& own_trouble() const { return own_trouble_; }

  // Whether the last call has brought more than any before.
  bool made_progress() const { return made_progress_; }
  // The node may hold the copy of what has come.
  bool may_go_on() const { return header_.copy() != 0 && file_.size() > 0 && !is_spoiled_; }
  std::string Received() const {
    return std::to_string(file_.size()) + " of " + std::to_string(header_.size_bytes()) + " bytes";
  }

  Result<v1::BackupHeader> Receive(const std::string& endpoint, const security::TlsPtr& tls) {
    made_progress_ = false;
    request_.set_copy(may_go_on() ? header_.copy() : 0);
    request_.set_offset(may_go_on() ? file_.size() : 0);
    BackupCall call(endpoint, tls, request_, [this] { return Proceeds(); });
    std::optional<uint32_t> crc;
    for (;;) {
      ASSIGN_OR_RETURN(v1::BackupResponse* const response, call.Next());
      if (response == nullptr) break;
      if (response->has_header()) RETURN_IF_ERROR(Begin(response->header()));
      if (response->has_crc32c()) crc = response->crc32c();
      found_ = Crc32c(response->data(), found_);
      RETURN_IF_ERROR(Write(response->mutable_data()));
      made_progress_ = made_progress_ || file_.size() > most_;
      most_ = std::max(most_, file_.size());
      if (!Proceeds()) return Cancelled("the backup was stopped");
    }
    if (!crc || file_.size() != header_.size_bytes()) {
      return Unavailable("the backup was cut off by the node");
    }
    if (*crc == found_) return header_;
    is_spoiled_ = true;  // it begins anew
    return DataLoss("the backup does not have the checksum that the node sent");
  }

 private:
  // Goes on after what has come, if the node does, or begins anew.
  Status Begin(const v1::BackupHeader& header) {
    const bool goes_on =
        may_go_on() && header.copy() == header_.copy() && header.offset() == file_.size();
    if (may_go_on() && options_.told) {
      options_.told(goes_on ? "it goes on after " + Received()
                            : "it begins anew: the node does not hold what it sent before");
    }
    if (!goes_on) {
      if (header.offset() != 0)
        return DataLoss("the node goes on with a backup that has not begun");
      if (++beginnings_ > kBeginningsMax) {
        return Own(Unavailable("the backup had to begin anew too often"));
      }
      header_ = header;
      found_ = 0;
      most_ = 0;
      is_spoiled_ = false;
      progress_ = {0, header.size_bytes()};
      RETURN_IF_ERROR(Own(file_.Clear()));
    }
    return Own(file_.CheckRoom(header.size_bytes() - file_.size()));
  }
  Status Own(Status status) {
    if (!status.ok()) own_trouble_ = status;
    return status;
  }
  Status Write(std::string* data) {
    if (data->empty()) return OkStatus();
    if (file_.size() == 0) {
      if (!data->starts_with(kSqliteMagic) || data->size() < 100) {
        return DataLoss("the node did not send a SQLite file");
      }
      LeaveWalMode(data);
    }
    progress_.bytes += data->size();
    return Own(file_.Append(*data));
  }

  const BackupOptions& options_;
  BackupFile& file_;
  v1::BackupRequest request_;
  v1::BackupHeader header_;  // of what has come; empty: nothing has
  uint32_t found_ = 0;       // the CRC32C of it
  uint64_t most_ = 0;        // bytes that have come at once
  bool made_progress_ = false;
  bool is_spoiled_ = false;  // what has come is not what was sent
  int beginnings_ = 0;
  BackupProgress progress_;
  std::optional<Status> own_trouble_;
};

bool MayTryAgain(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kAborted:
    case StatusCode::kInternal:
    case StatusCode::kUnknown:
    case StatusCode::kDataLoss:
    case StatusCode::kCancelled:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted: return true;
    default: return false;
  }
}

// Returns false if the caller does not want to go on.
bool Pause(const BackupJob& job) {
  Mutex mutex;
  CondVar never;
  for (auto left = kPause; left.count() > 0; left -= kLookEvery) {
    if (!job.Proceeds()) return false;
    MutexLock lock(mutex);
    never.WaitFor(lock, kLookEvery);
  }
  return true;
}

}  // namespace

Result<BackupResult> MakeBackup(const std::vector<std::string>& endpoints,
                                const security::TlsPtr& tls, std::chrono::milliseconds timeout,
                                const BackupOptions& options) {
  if (options.bytes_per_second_max != 0 && options.bytes_per_second_max < kBytesPerSecondMin) {
    return InvalidArgument("a backup takes at least " + std::to_string(kBytesPerSecondMin) +
                           " bytes per second");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<BackupFile> file, BackupFile::Create(options.path));
  BackupJob job(options, timeout, file.get());
  const int tries = std::max(kTriesMin, static_cast<int>(endpoints.size()));
  size_t asked = 0;    // the endpoint
  int tries_here = 0;  // since bytes have come
  for (int tried = 1;;) {
    Result<v1::BackupHeader> header = job.Receive(endpoints[asked % endpoints.size()], tls);
    if (!header.ok()) {
      if (job.own_trouble() || !MayTryAgain(header.status().code())) return header.status();
      if (!job.Proceeds()) return header.status();
      if (job.made_progress()) {
        tried = 1;
        tries_here = 0;
        if (options.told) {
          options.told("the backup was cut off after " + job.Received() + ": " +
                       header.status().message());
        }
      }
      const bool stays = job.may_go_on() && ++tries_here < kTriesHere;
      if (!stays && tried++ == tries) return header.status();
      if (!stays) ++asked;
      if (!Pause(job)) return header.status();
      continue;
    }
    BackupResult result;
    result.cluster_id = header->cluster_id();
    result.index = header->index();
    result.term = header->term();
    result.bytes = file->size();
    ASSIGN_OR_RETURN(result.sha256, file->Commit({{"cluster", ClusterIdText(result.cluster_id)},
                                                  {"index", std::to_string(result.index)},
                                                  {"term", std::to_string(result.term)}}));
    return result;
  }
}

}  // namespace cairn::client
