#include "client/watcher.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "client/passing_errors.h"
#include "client/watch_call.h"
#include "rpc/proto_convert.h"

namespace cairn::client {
namespace {

constexpr SteadyTime kBackoff = std::chrono::milliseconds(50);
constexpr int kBackoffDoublingsMax = 5;
// For a node that has no room: until others have gone.
constexpr SteadyTime kNoRoomWait = std::chrono::seconds(1);

ChangePosition FromProto(const v1::ChangePosition& position) {
  return {position.index(), position.ordinal()};
}
void ToProto(ChangePosition position, v1::ChangePosition* out) {
  out->set_index(position.index);
  out->set_ordinal(position.ordinal);
}

Result<v1::ChangeKind> OperationOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kInsert: return v1::CHANGE_KIND_INSERT;
    case ChangeKind::kUpdate: return v1::CHANGE_KIND_UPDATE;
    case ChangeKind::kDelete: return v1::CHANGE_KIND_DELETE;
    case ChangeKind::kSchema: return v1::CHANGE_KIND_SCHEMA;
    case ChangeKind::kPoints: return v1::CHANGE_KIND_POINTS;
    default:
      return InvalidArgument("a filter may name inserts, updates, deletes, the schema and points");
  }
}

ChangeKind KindOf(v1::ChangeKind kind) {
  switch (kind) {
    case v1::CHANGE_KIND_INSERT: return ChangeKind::kInsert;
    case v1::CHANGE_KIND_UPDATE: return ChangeKind::kUpdate;
    case v1::CHANGE_KIND_DELETE: return ChangeKind::kDelete;
    case v1::CHANGE_KIND_SCHEMA: return ChangeKind::kSchema;
    case v1::CHANGE_KIND_ROW: return ChangeKind::kRow;
    case v1::CHANGE_KIND_POINTS: return ChangeKind::kPoints;
    default: return ChangeKind::kCommandEnd;
  }
}

WatchedSchema FromProto(v1::WatchSchemaChange* change) {
  WatchedSchema out;
  out.kind = static_cast<WatchedSchema::Kind>(std::clamp<int>(change->kind(), 0, 2));
  out.type = std::move(*change->mutable_type());
  out.name = std::move(*change->mutable_name());
  out.table = std::move(*change->mutable_table());
  out.sql = std::move(*change->mutable_sql());
  out.renamed_from = std::move(*change->mutable_renamed_from());
  return out;
}

std::shared_ptr<const WatchedTable> FromProto(v1::WatchTable* table) {
  auto out = std::make_shared<WatchedTable>();
  out->name = std::move(*table->mutable_name());
  for (v1::Column& column : *table->mutable_columns()) {
    out->columns.push_back(rpc::FromProto(&column));
  }
  out->key.assign(table->key().begin(), table->key().end());
  return out;
}

Result<v1::WatchRequest> ToRequest(const WatchOptions& options) {
  v1::WatchRequest request;
  for (const WatchFilter& filter : options.filters) {
    if (!rpc::IsUtf8(filter.table) || !rpc::IsUtf8(filter.condition)) {
      return InvalidArgument("the filter of a watch is not valid UTF-8");
    }
    v1::WatchFilter* const out = request.add_filters();
    out->set_table(filter.table);
    out->set_condition(filter.condition);
    for (const ChangeKind kind : filter.operations) {
      ASSIGN_OR_RETURN(const v1::ChangeKind operation, OperationOf(kind));
      out->add_operations(operation);
    }
  }
  if (options.from == WatchOptions::From::kSnapshot) request.set_snapshot(true);
  if (options.from == WatchOptions::From::kPosition) {
    ToProto(options.after, request.mutable_after());
  }
  return request;
}

// A filter passes changes of rows of the table.
bool IsNamed(const v1::WatchRequest& request, const std::string& table) {
  const auto same = [](char a, char b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : int{c}; };
    return lower(a) == lower(b);
  };
  return request.filters().empty() ||
         std::any_of(request.filters().begin(), request.filters().end(), [&](const auto& filter) {
           const std::string& name = filter.table();
           return name.empty() ||
                  std::equal(name.begin(), name.end(), table.begin(), table.end(), same);
         });
}

using Call = WatchCall<v1::WatchResponse>;

class WatcherImpl final : public Watcher {
 public:
  WatcherImpl(std::vector<std::string> endpoints, security::TlsPtr tls, SteadyTime retry_for,
              v1::WatchRequest request)
      : endpoints_(std::move(endpoints)),
        tls_(std::move(tls)),
        retry_for_(retry_for),
        request_(std::move(request)) {
    if (request_.has_after()) resume_ = FromProto(request_.after());
  }
  ~WatcherImpl() override { WatcherImpl::Cancel(); }

  Result<WatchEvent> Next(std::chrono::milliseconds timeout) override {
    const SteadyTime by = SystemClock().SteadyNow() + timeout;
    while (events_.empty()) {
      if (!final_.ok()) return final_;
      ASSIGN_OR_RETURN(const std::shared_ptr<Call> call, Connected(by));
      v1::WatchEnd end;
      Result<v1::WatchResponse> response = call->Next(by, &end);
      if (response.ok()) {
        Take(&*response);
      } else if (response.status().code() == StatusCode::kDeadlineExceeded &&
                 SystemClock().SteadyNow() >= by) {
        return response.status();
      } else {
        Fail(response.status(), end);
      }
    }
    WatchEvent event = std::move(events_.front());
    events_.pop_front();
    MutexLock lock(mutex_);
    if (in_snapshot_) {
      position_.reset();
    } else {
      position_ = events_.empty() ? resume_ : std::optional(event.position);
    }
    // The rows of a snapshot are still in front.
    if (event.kind == ChangeKind::kRow || event.kind == ChangeKind::kSnapshotBegin) {
      position_.reset();
    }
    return event;
  }

  std::optional<ChangePosition> position() const override {
    MutexLock lock(mutex_);
    return position_;
  }
  std::optional<ChangePosition> oldest() const override {
    MutexLock lock(mutex_);
    return oldest_;
  }
  void Cancel() override {
    std::shared_ptr<Call> call;
    {
      MutexLock lock(mutex_);
      cancelled_ = true;
      call = call_;
      changed_.NotifyAll();
    }
    if (call != nullptr) call->Cancel();
  }

 private:
  Result<std::shared_ptr<Call>> Connected(SteadyTime by) {
    MutexLock lock(mutex_);
    for (;;) {
      if (cancelled_) return Cancelled("the watch was cancelled");
      if (call_ != nullptr) return call_;
      const SteadyTime now = SystemClock().SteadyNow();
      if (now >= not_before_) break;
      if (now >= by) return DeadlineExceeded("no node can be reached yet");
      changed_.WaitFor(lock, std::min(by, not_before_) - now);
    }
    if (resume_) ToProto(*resume_, request_.mutable_after());
    tables_.clear();
    in_snapshot_ = false;
    call_ = Call::Start(endpoints_[at_], tls_,
                        [request = request_](auto* stub, auto* context, auto* reactor) {
                          stub->async()->Watch(context, &request, reactor);
                        });
    return call_;
  }

  void Take(v1::WatchResponse* response) {
    tries_ = 0;
    begun_ = true;
    not_held_.clear();
    out_of_range_.reset();
    if (response->forget_tables()) tables_.clear();
    for (v1::WatchTable& table : *response->mutable_tables()) {
      const uint64_t id = table.id();
      tables_[id] = FromProto(&table);
      // Events name the latest definition of a table.
      std::erase_if(tables_, [&](const auto& each) {
        return each.first != id && each.second->name == tables_[id]->name;
      });
    }
    if (response->snapshot_index() != 0) BeginSnapshot(response->snapshot_index());
    for (v1::WatchEvent& event : *response->mutable_events()) {
      // A later version may tell kinds that nobody here knows.
      if (v1::ChangeKind_IsValid(event.kind())) TakeEvent(&event);
    }
    if (!response->has_position()) return;
    resume_ = FromProto(response->position());
    if (in_snapshot_) {
      in_snapshot_ = false;
      AddMark(ChangeKind::kSnapshotEnd);
    }
    MutexLock lock(mutex_);
    if (events_.empty()) position_ = resume_;
  }

  void BeginSnapshot(uint64_t index) {
    in_snapshot_ = true;
    snapshot_end_ = {index + 1, 0};
    AddMark(ChangeKind::kSnapshotBegin);
  }
  void AddMark(ChangeKind kind) {
    events_.emplace_back();
    events_.back().kind = kind;
    events_.back().position = snapshot_end_;
  }

  void TakeEvent(v1::WatchEvent* event) {
    WatchEvent out;
    out.kind = KindOf(event->kind());
    const bool is_row = out.kind == ChangeKind::kRow;
    out.position = is_row ? snapshot_end_ : FromProto(event->position());
    // What was told before is not told again.
    if (!is_row && resume_ && out.position <= *resume_) return;
    if (const auto table = tables_.find(event->table()); table != tables_.end()) {
      out.table = table->second;
    }
    if (event->has_old_rowid()) out.old_rowid = event->old_rowid();
    if (event->has_new_rowid()) out.new_rowid = event->new_rowid();
    out.old_row = rpc::FromProto(event->mutable_old_row());
    out.new_row = rpc::FromProto(event->mutable_new_row());
    out.changed.assign(event->changed().begin(), event->changed().end());
    if (event->has_schema()) {
      WatchedSchema& schema = out.schema = FromProto(event->mutable_schema());
      schema.begin_anew = !schema.renamed_from.empty() && IsNamed(request_, schema.name) &&
                          !IsNamed(request_, schema.renamed_from);
    }
    out.too_large = event->too_large();
    events_.push_back(std::move(out));
  }

  // The same node may hold the changes, so it is tried once more. Then the others have their turn.
  void Fail(const Status& status, const v1::WatchEnd& end) {
    const SteadyTime now = SystemClock().SteadyNow();
    MutexLock lock(mutex_);
    call_.reset();
    if (cancelled_) return;
    if (tries_++ == 0) failing_since_ = now;
    const bool not_held = status.reason() == Reason::kPositionNotHeld;
    // A watch that has a place to go on from waits for room. One that has not begun is refused.
    const bool no_room = status.code() == StatusCode::kResourceExhausted && begun_ && resume_;
    if (not_held) {
      not_held_.insert(at_);
      out_of_range_ = status;
      if (end.has_oldest()) oldest_ = FromProto(end.oldest());
    } else if (!IsPassing(status.code()) && !no_room) {
      final_ = status;
      return;
    }
    const bool waited = now - failing_since_ >= retry_for_;
    if (not_held_.size() == endpoints_.size() || (waited && out_of_range_)) {
      final_ = *out_of_range_;
    } else if (waited && !begun_) {
      final_ = status;
    }
    if (!final_.ok()) return;
    not_before_ = now;
    if (no_room) not_before_ += kNoRoomWait;
    if (tries_ == 1 && !not_held) return;
    do {
      at_ = (at_ + 1) % endpoints_.size();
    } while (not_held_.contains(at_));
    const int passes = tries_ / static_cast<int>(endpoints_.size());
    if (passes > 0) not_before_ += kBackoff * (1 << std::min(passes, kBackoffDoublingsMax));
  }

  const std::vector<std::string> endpoints_;
  const security::TlsPtr tls_;
  const SteadyTime retry_for_;

  // Of the thread that calls Next.
  v1::WatchRequest request_;
  std::deque<WatchEvent> events_;
  std::map<uint64_t, std::shared_ptr<const WatchedTable>> tables_;
  std::optional<ChangePosition> resume_;  // after all events that have come
  bool in_snapshot_ = false;
  ChangePosition snapshot_end_;
  Status final_;
  bool begun_ = false;
  size_t at_ = 0;  // the endpoint
  int tries_ = 0;  // since a response has come
  SteadyTime failing_since_{0};
  SteadyTime not_before_{0};
  std::set<size_t> not_held_;  // endpoints that do not hold what follows
  std::optional<Status> out_of_range_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Call> call_ CAIRN_GUARDED_BY(mutex_);
  bool cancelled_ CAIRN_GUARDED_BY(mutex_) = false;
  std::optional<ChangePosition> position_ CAIRN_GUARDED_BY(mutex_);
  std::optional<ChangePosition> oldest_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Watcher>> NewWatcher(std::vector<std::string> endpoints,
                                            security::TlsPtr tls,
                                            std::chrono::milliseconds retry_for,
                                            const WatchOptions& options) {
  ASSIGN_OR_RETURN(v1::WatchRequest request, ToRequest(options));
  return std::unique_ptr<Watcher>(std::make_unique<WatcherImpl>(
      std::move(endpoints), std::move(tls), retry_for, std::move(request)));
}

}  // namespace cairn::client
