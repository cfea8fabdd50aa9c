// etcd over its public gRPC API, and the bare echo.
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "echo.grpc.pb.h"
#include "load.h"
#include "peers.grpc.pb.h"

namespace cairn::bench {
namespace {

constexpr int kKeys = 10'000;
const std::string kValue(64, 'v');

template <class Request, class Response>
struct Call {
  grpc::ClientContext context;
  Request request;
  Response response;
};

class EtcdTarget final : public Target {
 public:
  explicit EtcdTarget(const LoadOptions& options) : options_(options) {
    for (const std::string& endpoint : options_.endpoints) {
      stubs_.push_back(etcdserverpb::KV::NewStub(
          grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials())));
    }
  }

  bool SetUp() override {
    if (options_.op == Op::kInsertRows) return false;  // etcd has no rows
    for (int k = 0; k < kKeys && options_.op != Op::kWrite; k += 1) {
      Call<etcdserverpb::PutRequest, etcdserverpb::PutResponse> call;
      call.request.set_key("bench/" + std::to_string(k));
      call.request.set_value(kValue);
      if (k >= 200) break;  // reads cycle through 200 keys, all present
      if (!stubs_[0]->Put(&call.context, call.request, &call.response).ok()) return false;
    }
    return true;
  }

  void Start(int client, uint64_t sequence, std::function<void(bool)> done) override {
    etcdserverpb::KV::Stub& stub = *stubs_[static_cast<size_t>(client) % stubs_.size()];
    const uint64_t n = static_cast<uint64_t>(client) * 7919 + sequence * 104729;
    if (options_.op == Op::kWrite) {
      auto call = std::make_shared<Call<etcdserverpb::PutRequest, etcdserverpb::PutResponse>>();
      call->request.set_key("bench/" + std::to_string(n % kKeys));
      call->request.set_value(kValue);
      stub.async()->Put(&call->context, &call->request, &call->response,
                        [call, done](const grpc::Status& s) { done(s.ok()); });
      return;
    }
    auto call = std::make_shared<Call<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>>();
    call->request.set_key("bench/" + std::to_string(n % 200));
    call->request.set_serializable(options_.op == Op::kReadStale);
    stub.async()->Range(
        &call->context, &call->request, &call->response,
        [call, done](const grpc::Status& s) { done(s.ok() && call->response.kvs_size() == 1); });
  }

 private:
  const LoadOptions& options_;
  std::vector<std::unique_ptr<etcdserverpb::KV::Stub>> stubs_;
};

class EchoUnary final : public Target {
 public:
  explicit EchoUnary(const LoadOptions& options)
      : stub_(echo::Echo::NewStub(
            grpc::CreateChannel(options.endpoints.at(0), grpc::InsecureChannelCredentials()))) {}
  bool SetUp() override { return true; }
  void Start(int, uint64_t, std::function<void(bool)> done) override {
    auto call = std::make_shared<Call<echo::Message, echo::Message>>();
    call->request.set_payload(kValue);
    stub_->async()->Unary(&call->context, &call->request, &call->response,
                          [call, done](const grpc::Status& s) { done(s.ok()); });
  }

 private:
  std::unique_ptr<echo::Echo::Stub> stub_;
};

// One bidirectional stream. Each request is one message, and answers come in order.
class EchoStream final : public Target, grpc::ClientBidiReactor<echo::Message, echo::Message> {
 public:
  explicit EchoStream(const LoadOptions& options)
      : stub_(echo::Echo::NewStub(
            grpc::CreateChannel(options.endpoints.at(0), grpc::InsecureChannelCredentials()))) {
    message_.set_payload(kValue);
    stub_->async()->Stream(&context_, this);
    StartRead(&response_);
    AddHold();
    StartCall();
  }
  ~EchoStream() override {
    context_.TryCancel();
    RemoveHold();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return over_; });
  }
  bool SetUp() override { return true; }
  void Start(int, uint64_t, std::function<void(bool)> done) override {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(done));
    ++unsent_;
    WriteNext();
  }
  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    std::function<void(bool)> done;
    {
      std::lock_guard lock(mutex_);
      done = std::move(waiting_.front());
      waiting_.pop_front();
    }
    StartRead(&response_);
    done(true);
  }
  void OnDone(const grpc::Status&) override {
    std::lock_guard lock(mutex_);
    over_ = true;
    ended_.notify_all();
  }

 private:
  void WriteNext() {
    if (writing_ || unsent_ == 0) return;
    --unsent_;
    writing_ = true;
    StartWrite(&message_);
  }

  std::unique_ptr<echo::Echo::Stub> stub_;
  grpc::ClientContext context_;
  echo::Message message_, response_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::deque<std::function<void(bool)>> waiting_;
  int unsent_ = 0;
  bool writing_ = false;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<Target> MakeEtcdTarget(const LoadOptions& options) {
  return std::make_unique<EtcdTarget>(options);
}
std::unique_ptr<Target> MakeEchoTarget(const LoadOptions& options, bool stream) {
  if (stream) return std::make_unique<EchoStream>(options);
  return std::make_unique<EchoUnary>(options);
}

}  // namespace cairn::bench
