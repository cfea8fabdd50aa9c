#include "transport/peer_link.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "transport/grpc_transport.h"
#include "transport/message_codec.h"

namespace cairn::transport {
namespace {

using std::chrono::milliseconds;

// The bound of one write. It is small so that a heartbeat queued behind a write does not wait long.
constexpr size_t kBatchBytesMax = 2 << 20;
// The delay after a break. It is short because the host's answer tells a lost connection from a
// lost process (Handler::OnPeerGone). It is not zero, so that a dying process can close its
// listening socket too.
constexpr milliseconds kRetryBroken{1};
constexpr milliseconds kRetryFirst{5};
constexpr milliseconds kRetryMax{200};
// An operator must resolve a refusal; asking often does not help.
constexpr milliseconds kRetryRefused{500};
constexpr milliseconds kUnreachableEvery{1000};
// If a stream lasted at least this long, the backoff starts anew when the stream breaks. kLasting
// is not less than the longest backoff, so that a flapping link is opened no more often than a link
// that is down.
constexpr milliseconds kLasting = kRetryMax;

// True if the peer refused the caller as a copy and not because of what it sent. The two codes have
// no other meaning on this stream.
bool RefusedAsCopy(const Status& status) {
  return status.code() == StatusCode::kAborted || status.code() == StatusCode::kAlreadyExists;
}

bool Refused(const Status& status) {
  return status.code() == StatusCode::kFailedPrecondition ||
         status.code() == StatusCode::kUnauthenticated ||
         status.code() == StatusCode::kPermissionDenied || RefusedAsCopy(status);
}

}  // namespace

// The gRPC side of one attempt. self_ keeps it alive until OnDone. A hold delays OnDone while Send
// may still start a write. The hold is removed when the stream is broken and no write is in
// progress.
class PeerLink::Stream final
    : public grpc::ClientBidiReactor<pb::MessagesRequest, pb::MessagesResponse> {
 public:
  Stream(std::shared_ptr<PeerLink> owner, const std::string& at)
      : link(std::move(owner)),
        address(at),
        channel_(NewPeerChannel(at, link->context_->tls, link->node_id_)),
        stub_(pb::Peer::NewStub(channel_)) {}

  void Start(std::shared_ptr<Stream> self) {
    self_ = std::move(self);
    stub_->async()->Messages(&context, this);
    AddHold();
    StartRead(&response);
    StartWrite(&request);
    StartCall();
  }
  void OnReadDone(bool ok) override { link->OnRead(this, ok); }
  void OnWriteDone(bool ok) override { link->OnWritten(this, ok); }
  void OnDone(const grpc::Status& status) override {
    std::shared_ptr<Stream> last = std::move(self_);
    const std::shared_ptr<TransportContext> transport = link->context_;
    link->OnDone(this, FromGrpc(status));
    // The stream is released before Shutdown may continue. The gRPC library ends its threads with
    // the last channel or server, and aborts if one of those threads releases the last one.
    last.reset();
    transport->live.Leave();
  }

  const std::shared_ptr<PeerLink> link;
  const std::string address;
  grpc::ClientContext context;
  pb::MessagesRequest request;  // belongs to the write in progress
  pb::MessagesResponse response;
  SteadyTime opened{0};
  // Guarded by the link's mutex.
  bool writing = false;
  bool broken = false;
  bool hold_removed = false;
  bool accepted = false;
  std::shared_ptr<const grpc::AuthContext> server;  // once accepted, with TLS

 private:
  // Each attempt makes its own channel. A channel that failed repeats its last error for a while,
  // but the link must know the present state.
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<pb::Peer::Stub> stub_;
  std::shared_ptr<Stream> self_;
};

PeerLink::PeerLink(std::shared_ptr<TransportContext> context, Identity self, MemberId member,
                   Peer peer, size_t queue_bytes_max)
    : context_(std::move(context)),
      self_(std::move(self)),
      peer_(member),
      node_id_(peer.node_id),
      queue_bytes_max_(queue_bytes_max),
      addresses_(std::move(peer.addresses)) {}

std::string PeerLink::address() const {
  const MutexLock lock(mutex_);
  if (stream_ && stream_->accepted) return stream_->address;
  return addresses_[next_address_ % addresses_.size()];
}

bool PeerLink::Follow(const Peer& peer) {
  if (peer.node_id != node_id_) return false;
  const Addresses& addresses = peer.addresses;
  const MutexLock lock(mutex_);
  if (addresses == addresses_) return true;
  const std::string& now =
      stream_ ? stream_->address : addresses_[next_address_ % addresses_.size()];
  const bool same_first = addresses.front() == addresses_.front();
  const auto found = std::find(addresses.begin(), addresses.end(), now);
  if (found == addresses.end() || (found != addresses.begin() && !same_first)) return false;
  next_address_ = static_cast<size_t>(found - addresses.begin());
  addresses_ = addresses;
  return true;
}

void PeerLink::Open() {
  auto stream = std::make_shared<Stream>(shared_from_this(), address());
  std::pair<GroupId, std::vector<raft::Message>> batch;
  {
    const MutexLock lock(mutex_);
    if (closed_ || !context_->live.Enter()) return;
    stream->opened = SystemClock().SteadyNow();
    stream->writing = true;
    stream_ = stream;
    batch = TakeBatch();
  }
  FillHello(self_, peer_, stream->request.mutable_hello());
  Encode(batch, &stream->request);
  stream->Start(stream);
}

void PeerLink::Close() {
  std::shared_ptr<Stream> stream;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    context_->messages_dropped += queue_.size();
    queue_.clear();
    queue_bytes_ = 0;
    stream = stream_;
  }
  if (stream) stream->context.TryCancel();
}

void PeerLink::Recheck() {
  std::shared_ptr<Stream> stream;
  std::shared_ptr<const grpc::AuthContext> server;
  {
    const MutexLock lock(mutex_);
    stream = stream_;
    if (stream) server = stream->server;
  }
  if (server && !context_->tls->ServerOf(*server).ok()) stream->context.TryCancel();
}

void PeerLink::Send(GroupId group, std::vector<raft::Message> messages) {
  std::shared_ptr<Stream> idle;
  std::pair<GroupId, std::vector<raft::Message>> batch;
  {
    const MutexLock lock(mutex_);
    groups_.insert(group);
    for (raft::Message& message : messages) {
      const size_t cost = MessageCost(message);
      if (closed_ || queue_bytes_ + cost > queue_bytes_max_ || cost > kMessageBytesMax) {
        ++context_->messages_dropped;
        continue;
      }
      queue_bytes_ += cost;
      queue_.push_back({group, std::move(message), cost});
    }
    if (!stream_ || stream_->broken || stream_->writing || queue_.empty()) return;
    stream_->writing = true;
    idle = stream_;
    batch = TakeBatch();
  }
  Encode(batch, &idle->request);
  idle->StartWrite(&idle->request);
}

std::pair<GroupId, std::vector<raft::Message>> PeerLink::TakeBatch() {
  std::pair<GroupId, std::vector<raft::Message>> batch;
  size_t bytes = 0;
  while (!queue_.empty()) {
    Queued& front = queue_.front();
    if (batch.second.empty()) batch.first = front.group;
    if (front.group != batch.first) break;
    if (!batch.second.empty() && bytes + front.cost > kBatchBytesMax) break;
    bytes += front.cost;
    queue_bytes_ -= front.cost;
    batch.second.push_back(std::move(front.message));
    queue_.pop_front();
  }
  return batch;
}

void PeerLink::Encode(const std::pair<GroupId, std::vector<raft::Message>>& batch,
                      pb::MessagesRequest* request) {
  request->set_group_id(batch.first.value());
  for (const raft::Message& message : batch.second) {
    std::string* bytes = request->add_messages();
    bytes->reserve(MessageCost(message));
    EncodeMessage(message, bytes);
  }
}

void PeerLink::OnRead(Stream* stream, bool ok) {
  if (ok) {
    const pb::Boot& boot = stream->response.boot();
    if (context_->handler->OnReached(peer_, {boot.count(), boot.nonce()})) {
      OnAccepted(stream);
    } else {
      stream->context.TryCancel();
    }
    stream->StartRead(&stream->response);
    return;
  }
  bool release = false;
  {
    const MutexLock lock(mutex_);
    stream->broken = true;
    release = !stream->writing && !std::exchange(stream->hold_removed, true);
  }
  if (release) stream->RemoveHold();
}

bool PeerLink::IsAccepted() const { return stream_ && stream_->accepted && !stream_->broken; }

void PeerLink::OnAccepted(Stream* stream) {
  bool news = false;
  {
    const MutexLock lock(mutex_);
    stream->accepted = true;
    if (context_->tls != nullptr) stream->server = stream->context.auth_context();
    reached_at_ = stream->address;
    news = std::exchange(down_logged_, false) || !refusal_logged_.empty();
    refusal_logged_.clear();
  }
  if (news) LOG_INFO("connected to member member={} address={}", peer_.value(), stream->address);
}

void PeerLink::OnWritten(Stream* stream, bool ok) {
  bool more = false;
  bool release = false;
  std::pair<GroupId, std::vector<raft::Message>> batch;
  // While `writing` is set, only this code uses the request. The request is swapped, not cleared,
  // because a cleared request would keep the memory of the largest messages.
  pb::MessagesRequest().Swap(&stream->request);
  {
    const MutexLock lock(mutex_);
    stream->writing = false;
    if (!ok) stream->broken = true;
    if (stream->broken) {
      release = !std::exchange(stream->hold_removed, true);
    } else if (!queue_.empty()) {
      stream->writing = true;
      more = true;
      batch = TakeBatch();
    }
  }
  if (release) {
    stream->RemoveHold();
  } else if (more) {
    Encode(batch, &stream->request);
    stream->StartWrite(&stream->request);
  }
}

void PeerLink::OnDone(Stream* stream, const Status& status) {
  std::set<GroupId> told;
  std::set<GroupId> told_gone;
  std::string news;
  SteadyTime delay{0};
  {
    const MutexLock lock(mutex_);
    if (stream_.get() == stream) stream_.reset();
    if (closed_) return;
    context_->messages_dropped += queue_.size();
    queue_.clear();
    queue_bytes_ = 0;
    const SteadyTime now = SystemClock().SteadyNow();
    const bool broke = stream->accepted;
    if (broke || last_report_ == SteadyTime(0) || now - last_report_ >= kUnreachableEvery) {
      last_report_ = now;
      told = groups_;
    }
    // Only a refusal by the host where the member was last reached counts. If nobody listens at
    // some other possible address, that says nothing about the member's process.
    const bool its_host = reached_at_.empty() || reached_at_ == stream->address;
    if (!broke && its_host && status.reason() == Reason::kConnectionRefused) told_gone = groups_;
    if (!broke) ++next_address_;
    news = NewsOf(status, broke);
    delay = NextDelay(status, broke && now - stream->opened >= kLasting);
  }
  if (!news.empty()) {
    LOG_WARN("{} member={} address={} reason=\"{}\"", news, peer_.value(), stream->address,
             status.ToString());
  }
  if (RefusedAsCopy(status)) context_->handler->OnRefused(peer_, status);
  for (const GroupId group : told) context_->handler->OnUnreachable(group, peer_);
  for (const GroupId group : told_gone) context_->handler->OnPeerGone(group, peer_);
  context_->tasks.PostAfter(delay, [weak = weak_from_this()] {
    if (const std::shared_ptr<PeerLink> link = weak.lock()) link->Open();
  });
}

std::string PeerLink::NewsOf(const Status& status, bool broke) {
  if (Refused(status)) {
    if (refusal_logged_ == status.message()) return "";
    refusal_logged_ = status.message();
    return "refused by member";
  }
  if (std::exchange(down_logged_, true)) return "";
  return broke ? "connection to member lost" : "cannot connect to member";
}

SteadyTime PeerLink::NextDelay(const Status& status, bool lasted) {
  const int failed_before = std::exchange(failures_, lasted ? 0 : std::min(failures_ + 1, 8));
  // A caller that is refused at one address may be accepted at the next. ABORTED means that a
  // process still runs under this member's id; that process may be about to end.
  if (Refused(status) && status.code() != StatusCode::kAborted) return kRetryRefused;
  if (lasted) return kRetryBroken;
  return std::min<milliseconds>(kRetryMax, kRetryFirst * (1 << failed_before));
}

}  // namespace cairn::transport
