#include "echo_server.h"

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace cairn::bench {
namespace {

// Deletes itself in OnDone.
class StreamReactor final : public grpc::ServerBidiReactor<echo::Message, echo::Message> {
 public:
  StreamReactor() { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (ok) StartWrite(&message_);
    if (!ok) Finish(grpc::Status::OK);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&message_);
    if (!ok) Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  echo::Message message_;
};

class Service final : public echo::Echo::CallbackService {
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context,
                                  const echo::Message* request, echo::Message* response) override {
    response->set_payload(request->payload());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerBidiReactor<echo::Message, echo::Message>* Stream(
      grpc::CallbackServerContext*) override {
    return new StreamReactor;
  }
};

}  // namespace

bool RunEchoServer(const std::string& address) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return false;
  server->Wait();
  return true;
}

}  // namespace cairn::bench
