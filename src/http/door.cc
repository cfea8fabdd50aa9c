#include "http/door.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace cairn::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Connections that were accepted and that the thread has not looked at yet. More wait in the system:
// a flood of them holds no descriptors, and pushes nobody out.
constexpr size_t kArrivingMax = 16;
// In which a client closes a connection after its last response.
constexpr SteadyTime kDrainTime = std::chrono::seconds(1);

}  // namespace

// Belongs to the thread of the door, as everything below.
class Door::Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Stream = boost::beast::tcp_stream;
  using Place = std::list<std::shared_ptr<Connection>>::iterator;

  Connection(Impl* door, Stream stream, std::string host);

  void Begin() { Read(); }
  void Close();

  const std::string host;
  // While it waits for a request: its place among those that wait, the first the longest.
  std::optional<Place> waiting;

 private:
  void Read();
  void OnRead(error_code error, size_t bytes);
  void Answer(RequestReader::Next next);
  void Write(const Response& response, bool with_body, bool keep_alive);
  void OnWritten(error_code error, bool keep_alive);
  void Drain();

  Impl* const door_;
  Stream stream_;
  RequestReader reader_;
  std::array<char, 4096> piece_;
  std::string head_, body_;  // of the response under way
  bool fresh_ = true;        // nothing was read yet
  bool timed_ = false;       // the deadline of the request under way is set
  bool left_ = false;
};

class Door::Impl {
 public:
  Impl(Handler to, const DoorLimits& bounds) : handler(std::move(to)), limits(bounds) {}

  void Start() {
    thread_ = std::thread([this] { io_.run(); });
  }

  void Take(int fd) {
    MutexLock lock(mutex_);
    while (arriving_ >= kArrivingMax && !closed_) entered_.Wait(lock);
    if (closed_) {
      ::close(fd);
      return;
    }
    ++arriving_;
    asio::post(io_, [this, fd] {
      Enter(fd);
      MutexLock entered(mutex_);
      --arriving_;
      entered_.NotifyAll();
    });
  }

  void Stop() {
    if (!thread_.joinable()) return;
    {
      MutexLock lock(mutex_);
      closed_ = true;
      entered_.NotifyAll();
    }
    asio::post(io_, [this] {
      stopped_ = true;
      work_.reset();
      while (!connections_.empty()) connections_.begin()->second->Close();
    });
    thread_.join();
  }

  void Forget(Connection* connection) {
    Busy(connection);
    const auto host = by_host_.find(connection->host);
    if (--host->second == 0) by_host_.erase(host);
    connections_.erase(connection);
    counts.connections.Set(connections_.size());
  }
  void Wait(const std::shared_ptr<Connection>& connection) {
    if (!connection->waiting) {
      connection->waiting = waiting_.insert(waiting_.end(), connection);
    }
  }
  void Busy(Connection* connection) {
    if (!connection->waiting) return;
    waiting_.erase(*connection->waiting);
    connection->waiting.reset();
  }

  const Handler handler;
  const DoorLimits limits;
  DoorCounts counts;

 private:
  void Enter(int fd) {
    asio::ip::tcp::socket socket(io_);
    error_code error;
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const bool v6 = ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                    address.ss_family == AF_INET6;
    socket.assign(v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), fd, error);
    if (error) {
      ::close(fd);
      return;
    }
    const auto remote = socket.remote_endpoint(error);
    if (error || stopped_) return;  // it has gone already
    const std::string host = remote.address().to_string();
    if (!MakeRoom(host)) return Refuse(&socket);
    auto connection =
        std::make_shared<Connection>(this, Connection::Stream(std::move(socket)), host);
    ++by_host_[host];
    connections_[connection.get()] = connection;
    counts.connections_taken.Add();
    counts.connections.Set(connections_.size());
    connection->Begin();
  }

  // False: nobody gives way to another connection of that host.
  bool MakeRoom(const std::string& host) {
    const auto of_host = by_host_.find(host);
    const bool host_full =
        of_host != by_host_.end() && of_host->second >= limits.connections_per_host_max;
    if (!host_full && connections_.size() < limits.connections_max) return true;
    for (const std::shared_ptr<Connection>& each : waiting_) {
      if (host_full && each->host != host) continue;
      counts.connections_evicted.Add();
      const std::shared_ptr<Connection> evicted = each;
      evicted->Close();
      return true;
    }
    return false;
  }

  // The line finds room in the buffer of a new socket, or is lost.
  void Refuse(asio::ip::tcp::socket* socket) {
    counts.connections_refused.Add();
    const Response refusal = TextResponse(503, "too many connections");
    const std::string bytes = HeadOf(refusal, /*keep_alive=*/false) + refusal.body;
    error_code ignored;
    socket->non_blocking(true, ignored);
    socket->write_some(asio::buffer(bytes), ignored);
    socket->shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }

  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{
      asio::make_work_guard(io_)};
  std::map<Connection*, std::shared_ptr<Connection>> connections_;
  std::map<std::string, size_t> by_host_;
  std::list<std::shared_ptr<Connection>> waiting_;
  bool stopped_ = false;
  Mutex mutex_;
  CondVar entered_;
  size_t arriving_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

Door::Connection::Connection(Impl* door, Stream stream, std::string from)
    : host(std::move(from)),
      door_(door),
      stream_(std::move(stream)),
      reader_(door->limits.request) {}

void Door::Connection::Close() {
  if (std::exchange(left_, true)) return;
  const std::shared_ptr<Connection> alive = shared_from_this();
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
  door_->Forget(this);
}

void Door::Connection::Read() {
  door_->Wait(shared_from_this());
  const DoorLimits& limits = door_->limits;
  // One deadline for the whole request: a client that sends a byte now and then gains nothing.
  if (!reader_.in_request()) {
    stream_.expires_after(fresh_ ? limits.request_time_max : limits.idle_time_max);
    timed_ = false;
  } else if (!std::exchange(timed_, true)) {
    stream_.expires_after(limits.request_time_max);
  }
  stream_.async_read_some(
      asio::buffer(piece_),
      [self = shared_from_this()](error_code error, size_t bytes) { self->OnRead(error, bytes); });
}

void Door::Connection::OnRead(error_code error, size_t bytes) {
  // A connection that gave way while its bytes were on their way here must not wait anew: it would
  // be the one to give way for ever, and make room for nobody.
  if (left_) return;
  if (error == boost::beast::error::timeout) door_->counts.connections_late.Add();
  if (error) return Close();
  fresh_ = false;
  Answer(reader_.Feed({piece_.data(), bytes}));
}

void Door::Connection::Answer(RequestReader::Next next) {
  if (std::holds_alternative<std::monostate>(next)) return Read();
  if (const auto* refusal = std::get_if<Response>(&next)) {
    door_->counts.requests_refused.Add();
    return Write(*refusal, /*with_body=*/true, /*keep_alive=*/false);
  }
  const Request& request = std::get<Request>(next);
  door_->counts.requests.Add();
  Response response = door_->handler(request);
  if (response.body.size() > door_->limits.response_bytes_max) {
    response = TextResponse(500, "the response is larger than this door gives");
  }
  Write(response, request.method != "HEAD", request.keep_alive);
}

void Door::Connection::Write(const Response& response, bool with_body, bool keep_alive) {
  door_->Busy(this);
  head_ = HeadOf(response, keep_alive);
  body_ = with_body ? response.body : "";
  stream_.expires_after(door_->limits.response_time_max);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head_), asio::buffer(body_)};
  asio::async_write(stream_, buffers,
                    [self = shared_from_this(), keep_alive](error_code error, size_t) {
                      self->OnWritten(error, keep_alive);
                    });
}

void Door::Connection::OnWritten(error_code error, bool keep_alive) {
  head_.clear();
  std::string().swap(body_);
  if (left_) return;
  if (error == boost::beast::error::timeout) door_->counts.connections_late.Add();
  if (error) return Close();
  if (!keep_alive) {
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    door_->Wait(shared_from_this());
    stream_.expires_after(kDrainTime);
    return Drain();
  }
  timed_ = false;
  Answer(reader_.Continue());
}

// A socket that is closed while bytes of the client wait in it takes the response back, as it were:
// the client is told that the connection was reset. So the client closes first, within a bound.
void Door::Connection::Drain() {
  stream_.async_read_some(asio::buffer(piece_),
                          [self = shared_from_this()](error_code error, size_t) {
                            if (self->left_) return;
                            if (error) return self->Close();
                            self->Drain();
                          });
}

Door::Door(Handler handler, const DoorLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(handler), limits)) {}

Door::~Door() { Stop(); }

void Door::Start() { impl_->Start(); }

void Door::Take(int fd) { impl_->Take(fd); }

void Door::Stop() { impl_->Stop(); }

const DoorCounts& Door::counts() const { return impl_->counts; }

}  // namespace cairn::http
