#include "node/replica_test_util.h"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "raft/configuration_codec.h"
#include "state_machine/sqlite/results_hash.h"

namespace cairn::node {

using state_machine::AppliedState;
using state_machine::CommandResult;
using state_machine::EntryResults;

namespace {

class StringSnapshot final : public state_machine::SnapshotReader {
 public:
  StringSnapshot(raft::SnapshotMeta meta, std::string data,
                 std::shared_ptr<ListStateMachine::Gate> gate)
      : meta_(std::move(meta)), data_(std::move(data)), gate_(std::move(gate)) {}
  const raft::SnapshotMeta& meta() const override { return meta_; }
  uint64_t size_bytes() const override { return data_.size(); }
  uint64_t copy_id() const override { return Crc32c(data_); }
  Result<uint32_t> Crc() override { return Crc32c(data_); }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    std::unique_lock lock(gate_->mutex);
    gate_->opened.wait(lock, [this] { return !gate_->closed; });
    piece->bytes = data_.substr(offset, size);
    piece->crc = Crc32c(piece->bytes);
    return OkStatus();
  }

 private:
  const raft::SnapshotMeta meta_;
  const std::string data_;
  const std::shared_ptr<ListStateMachine::Gate> gate_;
};

class FoundScan final : public state_machine::StateScan {
 public:
  FoundScan(LogIndex index, std::optional<state_machine::StateDigest> digest, Status found)
      : index_(index), digest_(digest), found_(std::move(found)) {}
  LogIndex index() const override { return index_; }
  bool is_digest_entry() const override { return digest_.has_value(); }
  Result<state_machine::StateDigest> Digest() override { return *digest_; }
  Result<bool> Scrub(SteadyTime /*budget*/) override {
    if (!found_.ok()) return found_;
    return true;
  }

 private:
  const LogIndex index_;
  const std::optional<state_machine::StateDigest> digest_;
  const Status found_;
};

SteadyTime In(std::chrono::milliseconds timeout) { return SystemClock().SteadyNow() + timeout; }

}  // namespace

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const SteadyTime deadline = In(timeout * kSlowness);
  while (!condition()) {
    if (SystemClock().SteadyNow() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// ---- ListStateMachine

std::vector<std::string> ListStateMachine::items() const {
  std::lock_guard lock(mutex_);
  return image_.items;
}

std::vector<state_machine::BatchHeader> ListStateMachine::headers() const {
  std::lock_guard lock(mutex_);
  return headers_;
}

void ListStateMachine::Crash() {
  std::lock_guard lock(mutex_);
  image_ = durable_;
  fail_ = fail_reopen_ = OkStatus();
}

void ListStateMachine::FailApply(Status status) {
  std::lock_guard lock(mutex_);
  fail_ = std::move(status);
}

void ListStateMachine::FailReopen(Status status) {
  std::lock_guard lock(mutex_);
  fail_reopen_ = std::move(status);
}

Status ListStateMachine::Reopen() {
  std::lock_guard lock(mutex_);
  ++reopens_;
  if (!fail_reopen_.ok()) return fail_reopen_;
  if (lose_tail_.exchange(false)) image_ = durable_;
  durable_ = image_;
  return OkStatus();
}

void ListStateMachine::BlockApply(bool block) {
  std::lock_guard lock(mutex_);
  blocked_ = block;
  unblocked_.notify_all();
}

void ListStateMachine::BlockCopies(bool block) {
  std::lock_guard lock(gate_->mutex);
  gate_->closed = block;
  gate_->opened.notify_all();
}

void ListStateMachine::SetNextDeadline(std::optional<uint64_t> lease_ms) {
  std::lock_guard lock(mutex_);
  next_deadline_ = lease_ms;
}

std::optional<uint64_t> ListStateMachine::NextDeadlineLeaseMs() const {
  std::lock_guard lock(mutex_);
  return next_deadline_;
}

AppliedState ListStateMachine::applied_state() const {
  std::lock_guard lock(mutex_);
  return image_.applied;
}

LogIndex ListStateMachine::durable_index() const {
  std::lock_guard lock(mutex_);
  return durable_.applied.index;
}

Status ListStateMachine::Apply(std::span<const raft::Entry> entries,
                               const raft::Configuration& config, LogIndex config_index,
                               const std::function<void(EntryResults)>& on_results) {
  std::vector<EntryResults> all;
  {
    std::unique_lock lock(mutex_);
    unblocked_.wait(lock, [this] { return !blocked_; });
    if (!fail_.ok()) return fail_;
    for (const raft::Entry& entry : entries) {
      CHECK(entry.index == image_.applied.index + 1)
          << "a hole in what is applied: " << entry.index.value() << " after "
          << image_.applied.index.value();
      image_.applied.index = entry.index;
      image_.applied.term = entry.term;
      EntryResults results{entry.index, entry.term, {}};
      if (entry.type == raft::EntryType::kNormal) {
        auto batch = state_machine::DecodeBatch(*entry.payload);
        CHECK(batch.ok());
        CHECK(batch->header.lease_ms >= image_.applied.lease_ms) << "the lease clock went back";
        image_.applied.lease_ms = batch->header.lease_ms;
        headers_.push_back(batch->header);
        for (const state_machine::Command& command : batch->commands) {
          if (const auto* execute = std::get_if<state_machine::Execute>(&command.operation)) {
            const bool is_new = command.id.sequence == 0 || image_.done.insert(command.id).second;
            for (const auto& s : execute->statements) {
              if (is_new) image_.items.push_back(s.sql);
            }
          } else if (std::holds_alternative<state_machine::Digest>(command.operation)) {
            state_machine::StateDigest digest;
            for (const std::string& item : image_.items) {
              digest.a = digest.a * 31 + Crc32c(item);
              ++digest.b;
            }
            digest_scan_ = std::make_unique<FoundScan>(entry.index, digest, FileStatus());
          } else if (const auto* raise =
                         std::get_if<state_machine::RaiseLevel>(&command.operation)) {
            image_.applied.level = std::max(image_.applied.level, raise->level);
          } else if (std::holds_alternative<state_machine::Restore>(command.operation)) {
            image_.applied.restored_at = entry.index;
            damaged_ = false;
          } else {
            next_deadline_.reset();
          }
          CommandResult result;
          result.index = entry.index;
          if (miscounts_) result.statements.resize(1);
          if (const size_t bytes = returns_bytes_; bytes != 0) {
            result.statements.resize(1);
            result.statements[0].rows.push_back({Value(std::string(bytes, 'r'))});
          }
          results.results.push_back(result);
        }
      }
      image_.applied.results_hash =
          state_machine::HashResults(image_.applied.results_hash, entry.index, results.results);
      results.results_hash = image_.applied.results_hash;
      all.push_back(std::move(results));
    }
    image_.applied.config = config;
    image_.applied.config_index = config_index;
  }
  for (EntryResults& results : all) on_results(std::move(results));
  return OkStatus();
}

void ListStateMachine::Miscount(bool miscounts) {
  std::lock_guard lock(mutex_);
  miscounts_ = miscounts;
}

void ListStateMachine::Diverge() {
  std::lock_guard lock(mutex_);
  CHECK(!image_.items.empty());
  image_.items.front() += "?";
}

Status ListStateMachine::FileStatus() const {
  return damaged_ ? DataLoss("table list: it is damaged") : OkStatus();
}

std::unique_ptr<state_machine::StateScan> ListStateMachine::TakeScan() {
  return std::move(digest_scan_);
}

Result<std::unique_ptr<state_machine::StateScan>> ListStateMachine::BeginScan() {
  std::lock_guard lock(mutex_);
  return std::unique_ptr<state_machine::StateScan>(
      std::make_unique<FoundScan>(image_.applied.index, std::nullopt, FileStatus()));
}

Status ListStateMachine::Checkpoint() {
  std::lock_guard lock(mutex_);
  durable_ = image_;
  return OkStatus();
}

Result<std::shared_ptr<state_machine::SnapshotReader>> ListStateMachine::OpenSnapshot(
    LogIndex index_min) {
  std::lock_guard lock(mutex_);
  CHECK(image_.applied.index >= index_min);
  if (copy_ && copy_->first.index >= index_min) {
    return std::shared_ptr<state_machine::SnapshotReader>(
        std::make_shared<StringSnapshot>(copy_->first, copy_->second, gate_));
  }
  std::string data;
  ByteWriter w(&data);
  w.U64(image_.applied.lease_ms);
  w.U64(image_.applied.level);
  w.U64(image_.applied.results_hash);
  w.U64(image_.items.size());
  for (const std::string& item : image_.items) w.String(item);
  w.U64(image_.done.size());
  for (const state_machine::RequestId& id : image_.done) {
    w.String(id.session);
    w.U64(id.sequence);
  }
  ++copies_;
  raft::SnapshotMeta meta{image_.applied.index, image_.applied.term, image_.applied.config,
                          image_.applied.config_index};
  copy_ = {meta, data};
  return std::shared_ptr<state_machine::SnapshotReader>(
      std::make_shared<StringSnapshot>(std::move(meta), std::move(data), gate_));
}

Status ListStateMachine::CheckSnapshot(const std::string&, const raft::SnapshotMeta&,
                                       const std::function<bool()>&) {
  if (failing_checks_ <= 0) return OkStatus();
  --failing_checks_;
  return DataLoss("the snapshot is damaged");
}

Status ListStateMachine::InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) {
  if (failing_installs_ > 0) {
    const std::lock_guard lock(mutex_);
    --failing_installs_;
    return fail_install_;
  }
  ASSIGN_OR_RETURN(const std::string data, ReadWholeFile(PosixFileSystem(), path, 1 << 30));
  ByteReader r(data);
  Image image;
  image.applied.lease_ms = r.U64();
  image.applied.level = r.U64();
  image.applied.results_hash = r.U64();
  image.applied.index = meta.index;
  image.applied.term = meta.term;
  image.applied.config = meta.config;
  image.applied.config_index = meta.config_index;
  for (uint64_t n = r.U64(); n > 0 && r.ok(); --n) image.items.emplace_back(r.String());
  for (uint64_t n = r.U64(); n > 0 && r.ok(); --n) {
    std::string session(r.String());
    image.done.insert({std::move(session), r.U64()});
  }
  if (!r.done()) return DataLoss("malformed snapshot");
  damaged_ = false;
  RETURN_IF_ERROR(PosixFileSystem().Remove(path));
  std::lock_guard lock(mutex_);
  image_ = durable_ = std::move(image);
  if (fail_.code() == StatusCode::kDataLoss) fail_ = OkStatus();  // the damaged file is gone
  ++installs_;
  return OkStatus();
}

// ---- TestLog

void TestLog::BlockSync(bool block) {
  std::lock_guard lock(mutex_);
  blocked_ = block;
  unblocked_.notify_all();
}

LogIndex TestLog::first() const {
  std::lock_guard lock(store_mutex_);
  const auto groups = log_->Groups();
  return groups.empty() ? LogIndex(1) : groups.begin()->second.snapshot_index + 1;
}

Status TestLog::Write(const std::vector<log_store::GroupWrite>& writes) {
  if (full_) return ResourceExhausted("no space left");
  std::lock_guard lock(store_mutex_);
  return log_->Write(writes);
}

Status TestLog::Sync() {
  std::unique_lock lock(mutex_);
  unblocked_.wait(lock, [this] { return !blocked_; });
  return log_->Sync();
}

// ---- TestCluster

TestCluster::TestCluster(int n) : network_(transport::NewMemoryNetwork()) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_node_test_XXXXXX";
  CHECK(::mkdtemp(path.data()) != nullptr);
  directory_ = path;
  std::map<uint64_t, std::string> listed;
  for (int i = 1; n > 1 && i <= n; ++i) listed[static_cast<uint64_t>(i)] = Address(i);
  for (int i = 1; i <= n; ++i) AddNode(static_cast<uint64_t>(i), listed);
}

TestCluster::~TestCluster() {
  for (auto& [id, node] : nodes_) {
    if (node->replica) Kill(id);
  }
  std::filesystem::remove_all(directory_);
}

TestNode& TestCluster::AddNode(uint64_t id, std::map<uint64_t, std::string> listed) {
  auto node = std::make_unique<TestNode>();
  node->id = id;
  node->options.tick *= kSlowness;
  node->options.node_id = id;
  node->options.address = Address(id);
  node->options.listed_peers = std::move(listed);
  node->options.data_directory = directory_ + "/" + Address(id) + ".cairn";
  node->log = std::make_unique<TestLog>();
  node->state = std::make_unique<ListStateMachine>(directory_);
  return *(nodes_[id] = std::move(node));
}

Status TestCluster::Start(uint64_t id) {
  TestNode& n = node(id);
  auto replica = Replica::Open(n.options, &n.fs, n.log.get(), n.state.get(), &SystemClock());
  RETURN_IF_ERROR(replica.status());
  n.replica = std::move(replica).value();
  n.handler.Set(n.replica->handler());
  n.transport = network_->Attach(n.options.address, &n.handler, n.options.data_directory);
  n.replica->Start(n.transport.get());
  return OkStatus();
}

void TestCluster::StartAll() {
  for (auto& [id, node] : nodes_) CHECK(Start(id).ok());
}

void TestCluster::Kill(uint64_t id) {
  TestNode& n = node(id);
  Isolate(id, true);
  n.log->BlockSync(false);
  n.state->BlockApply(false);
  n.handler.Set(nullptr);
  n.replica.reset();
  n.transport.reset();
  n.log->Crash();
  n.state->Crash();
  Isolate(id, false);
}

void TestCluster::Stop(uint64_t id) {
  TestNode& n = node(id);
  n.replica->Shutdown(std::chrono::seconds(5) * kSlowness);
  n.handler.Set(nullptr);
  n.replica.reset();
  n.transport.reset();
}

void TestCluster::Wipe(uint64_t id) {
  TestNode& n = node(id);
  CHECK(!n.replica);
  std::filesystem::remove_all(n.options.data_directory);
  n.log = std::make_unique<TestLog>();
  n.state = std::make_unique<ListStateMachine>(directory_);
}

void TestCluster::Isolate(uint64_t id, bool cut) {
  for (auto& [other, node] : nodes_) {
    if (other == id) continue;
    network_->SetCut(Address(id), Address(other), cut);
    network_->SetCut(Address(other), Address(id), cut);
  }
}

uint64_t TestCluster::AwaitLeader() {
  uint64_t leader = 0;
  const bool found = Eventually([&] {
    for (auto& [id, node] : nodes_) {
      if (!node->replica || !node->replica->is_leader()) continue;
      size_t followers = 0;
      size_t running = 0;
      for (auto& [other, n] : nodes_) {
        if (!n->replica) continue;
        ++running;
        const auto hint = n->replica->leader_hint();
        if (hint && hint->node_id == id) ++followers;
      }
      if (followers * 2 <= running) continue;
      leader = id;
      return true;
    }
    return false;
  });
  CHECK(found) << "no leader";
  return leader;
}

Result<CommandResult> TestCluster::ProposeCommand(uint64_t id, state_machine::Command command,
                                                  std::chrono::milliseconds timeout) {
  auto answer = std::make_shared<std::promise<Result<CommandResult>>>();
  auto future = answer->get_future();
  const auto done = [answer](Result<CommandResult> r) { answer->set_value(std::move(r)); };
  replica(id).Propose(std::move(command), In(timeout), done, nullptr);
  return future.get();
}

LogIndex TestCluster::Write(const std::string& text) {
  LogIndex index;
  // All tries use one id: when leadership moves during a write, its outcome is unknown.
  const state_machine::RequestId request = NextId();
  const bool written = Eventually([&] {
    const Result<CommandResult> result = Propose(AwaitLeader(), request, text);
    if (result.ok()) index = result->index;
    return result.ok();
  });
  CHECK(written) << "not written: " << text;
  return index;
}

Result<LogIndex> TestCluster::Barrier(uint64_t id, ReadOptions options,
                                      std::chrono::milliseconds timeout) {
  auto answer = std::make_shared<std::promise<Result<LogIndex>>>();
  auto future = answer->get_future();
  replica(id).ReadBarrier(options, In(timeout),
                          [answer](Result<LogIndex> r) { answer->set_value(std::move(r)); });
  return future.get();
}

Status TestCluster::Change(uint64_t leader, Replica::MembershipChange change,
                           std::chrono::milliseconds timeout) {
  auto answer = std::make_shared<std::promise<Status>>();
  auto future = answer->get_future();
  replica(leader).ChangeMembership(
      std::move(change), In(timeout), [](const std::string&) {},
      [answer](Status s) { answer->set_value(std::move(s)); });
  return future.get();
}

Status TestCluster::Transfer(uint64_t leader, uint64_t to) {
  std::promise<Status> moved;
  replica(leader).TransferLeadership(to, In(std::chrono::seconds(5)),
                                     [&](Status s) { moved.set_value(std::move(s)); });
  return moved.get_future().get();
}

}  // namespace cairn::node
