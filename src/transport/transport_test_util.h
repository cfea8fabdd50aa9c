// Shared by the tests of the transports: a handler that records its calls, and nodes on loopback.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "testing/sanitized.h"
#include "transport/transport.h"

namespace cairn::transport {

inline constexpr GroupId kGroup{1};
inline constexpr std::chrono::seconds kPatience{20 * kSlowness};

// Records its calls. Tests wait for the calls that they expect.
class RecordingHandler final : public Handler {
 public:
  void OnMessages(GroupId /*group*/, const raft::Boot& /*sender*/,
                  std::vector<raft::Message> messages) override {
    std::lock_guard lock(mutex_);
    for (raft::Message& message : messages) received_.push_back(std::move(message));
    changed_.notify_all();
  }
  Status OnCaller(const Identity& caller) override {
    std::lock_guard lock(mutex_);
    if (!verdict_on_callers.ok()) return verdict_on_callers;
    callers_[caller.member] = caller;
    changed_.notify_all();
    return OkStatus();
  }
  void OnCallerLeft(const Identity& caller) override {
    std::lock_guard lock(mutex_);
    left_.push_back(caller.member);
    changed_.notify_all();
  }
  bool OnReached(MemberId /*member*/, const raft::Boot& boot) override {
    std::lock_guard lock(mutex_);
    return boot != not_to_be_reached;
  }
  void OnRefused(MemberId /*by*/, const Status& why) override {
    std::lock_guard lock(mutex_);
    refusals_.push_back(why);
    changed_.notify_all();
  }
  void OnUnreachable(GroupId /*group*/, MemberId member) override {
    std::lock_guard lock(mutex_);
    unreachable_.push_back(member);
    changed_.notify_all();
  }
  void OnPeerGone(GroupId /*group*/, MemberId member) override {
    std::lock_guard lock(mutex_);
    gone_.push_back(member);
    changed_.notify_all();
  }
  ProbeReply OnProbe() override {
    std::lock_guard lock(mutex_);
    return probe_reply;
  }
  void OnJoin(const JoinRequest& request, std::function<void(Result<JoinReply>)> reply) override {
    std::lock_guard lock(mutex_);
    joins_.emplace_back(request, std::move(reply));
    changed_.notify_all();
  }
  bool OnSnapshotOffered(GroupId, MemberId, const raft::SnapshotMeta&) override {
    std::lock_guard lock(mutex_);
    return wants_snapshots;
  }
  Status OnSnapshotReceived(GroupId, MemberId, const raft::SnapshotMeta& meta,
                            const std::string& path,
                            const std::function<bool()>& proceed) override {
    if (look_through) look_through(proceed);
    std::lock_guard lock(mutex_);
    if (!verdict_on_snapshots.ok()) return verdict_on_snapshots;
    snapshots_.emplace_back(meta, path);
    changed_.notify_all();
    return OkStatus();
  }

  template <class Condition>
  bool Await(Condition condition, std::chrono::nanoseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, condition);
  }
  bool AwaitMessages(size_t count) {
    return Await([this, count] { return received_.size() >= count; });
  }
  bool AwaitUnreachable(size_t count) {
    return Await([this, count] { return unreachable_.size() >= count; });
  }
  bool AwaitGone(size_t count) {
    return Await([this, count] { return gone_.size() >= count; });
  }
  bool AwaitLeft(size_t count) {
    return Await([this, count] { return left_.size() >= count; });
  }
  bool AwaitRefusals(size_t count) {
    return Await([this, count] { return refusals_.size() >= count; });
  }
  bool AwaitJoins(size_t count) {
    return Await([this, count] { return joins_.size() >= count; });
  }

  std::vector<raft::Message> received() {
    std::lock_guard lock(mutex_);
    return received_;
  }
  std::map<MemberId, Identity> callers() {
    std::lock_guard lock(mutex_);
    return callers_;
  }
  std::vector<MemberId> left() {
    std::lock_guard lock(mutex_);
    return left_;
  }
  std::string engine_build(MemberId member) {
    std::lock_guard lock(mutex_);
    return callers_[member].engine.build;
  }
  std::vector<Status> refusals() {
    std::lock_guard lock(mutex_);
    return refusals_;
  }
  std::vector<MemberId> unreachable() {
    std::lock_guard lock(mutex_);
    return unreachable_;
  }
  std::vector<MemberId> gone() {
    std::lock_guard lock(mutex_);
    return gone_;
  }
  std::vector<std::pair<raft::SnapshotMeta, std::string>> snapshots() {
    std::lock_guard lock(mutex_);
    return snapshots_;
  }
  auto joins() {
    std::lock_guard lock(mutex_);
    return joins_;
  }

  // Set it before use.
  ProbeReply probe_reply;
  bool wants_snapshots = true;
  Status verdict_on_snapshots;
  Status verdict_on_callers;
  raft::Boot not_to_be_reached{~0ULL, 0};
  std::function<void(const std::function<bool()>& proceed)> look_through;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<raft::Message> received_;
  std::map<MemberId, Identity> callers_;
  std::vector<MemberId> left_;
  std::vector<Status> refusals_;
  std::vector<MemberId> unreachable_;
  std::vector<MemberId> gone_;
  std::vector<std::pair<raft::SnapshotMeta, std::string>> snapshots_;
  std::vector<std::pair<JoinRequest, std::function<void(Result<JoinReply>)>>> joins_;
};

// The answer of an asynchronous call.
template <class T>
class Answer {
 public:
  std::function<void(T)> Callback() {
    return [state = state_](T value) {
      std::lock_guard lock(state->mutex);
      state->values.push_back(std::move(value));
      state->changed.notify_all();
    };
  }
  bool Await(std::chrono::nanoseconds patience = kPatience) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, patience, [this] { return !state_->values.empty(); });
  }
  bool arrived() const {
    std::lock_guard lock(state_->mutex);
    return !state_->values.empty();
  }
  T Get() {
    std::lock_guard lock(state_->mutex);
    return state_->values.at(0);
  }
  size_t count() const {
    std::lock_guard lock(state_->mutex);
    return state_->values.size();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<T> values;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A snapshot made of a pattern, never held in memory as a whole. It can end in the middle, or flip
// a byte after its CRC was taken.
class PatternSource final : public SnapshotSource {
 public:
  PatternSource(uint64_t index, uint64_t size) : size_(size) {
    meta_.index = LogIndex(index);
    meta_.term = Term(3);
    meta_.config_index = LogIndex(1);
    meta_.config.voters = {MemberId(1), MemberId(2)};
    meta_.config.info[MemberId(1)] = {1, "a:1", 11};
    meta_.config.info[MemberId(2)] = {2, "b:2", 22};
    meta_.config.next_member_id = 3;
    for (uint64_t at = 0; at < size_; at += 1 << 20) {
      crc_ = Crc32c(Pattern(at, std::min<uint64_t>(1 << 20, size_ - at)), crc_);
    }
  }
  const raft::SnapshotMeta& meta() const override { return meta_; }
  uint64_t size_bytes() const override { return size_; }
  uint64_t copy_id() const override { return crc_; }
  Result<uint32_t> Crc() override { return crc_; }
  uint32_t crc() const { return crc_; }
  Status ReadInto(uint64_t offset, size_t size, SummedBytes* piece) override {
    ++reads;
    if (first_read == ~0ull) first_read = offset;
    if (offset + size > fail_at) return Unavailable("the source broke, as the test wanted");
    piece->bytes = Pattern(offset, size);
    if (flip_at >= offset && flip_at < offset + size) piece->bytes[flip_at - offset] ^= 1;
    piece->crc = Crc32c(piece->bytes);
    return OkStatus();
  }
  uint64_t fail_at = ~0ull;
  uint64_t flip_at = ~0ull;
  uint64_t first_read = ~0ull;  // offset
  uint64_t reads = 0;

 private:
  static std::string Pattern(uint64_t offset, uint64_t size) {
    std::string out(size, '\0');
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t at = offset + i;
      out[i] = static_cast<char>(at ^ (at >> 8) * 31 ^ (at >> 16) * 17);
    }
    return out;
  }
  const uint64_t size_;
  raft::SnapshotMeta meta_;
  uint32_t crc_ = 0;
};

// A directory that is removed with its content on destruction.
class TestDirectory {
 public:
  TestDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "cairn_transport_XXXXXX").string();
    path_ = ::mkdtemp(path.data());
  }
  ~TestDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  // Returns the path of the only file whose name ends with `suffix`; empty if there is none.
  std::string FileEndingIn(const std::string& suffix) const {
    for (const auto& file : std::filesystem::directory_iterator(path_)) {
      if (file.path().string().ends_with(suffix)) return file.path().string();
    }
    return "";
  }

 private:
  std::string path_;
};

inline raft::Message HeartbeatOf(uint64_t from, uint64_t to, uint64_t number) {
  return {MemberId(from), MemberId(to), Term(1), raft::Heartbeat{LogIndex(number), ReadId(number)}};
}
inline uint64_t NumberOf(const raft::Message& message) {
  return std::get<raft::Heartbeat>(message.body).read_id.value();
}
inline raft::Message AppendOf(uint64_t from, uint64_t to, std::string payload) {
  raft::AppendRequest body;
  body.entries.push_back({Term(1), LogIndex(1), raft::EntryType::kNormal,
                          std::make_shared<const std::string>(std::move(payload))});
  return {MemberId(from), MemberId(to), Term(1), body};
}
inline Identity MemberIdentity(uint64_t member, const std::string& address) {
  Identity identity;
  identity.cluster_id = 42;
  identity.node_id = member;
  identity.nonce = member * 1000;
  identity.member = MemberId(member);
  identity.address = address;
  identity.engine = {"x86_64", "sqlite 3.40.1"};
  return identity;
}

}  // namespace cairn::transport
