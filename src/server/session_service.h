// One Session stream: many requests in flight, answered as they complete, several to a message.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <thread>

#include "base/mailbox.h"
#include "server/module_host.h"

namespace cairn::server {

// A stream with something to write.
class Flushable {
 public:
  virtual ~Flushable() = default;
  virtual void Flush() = 0;
};

// Writes the answers of streams on a thread of its own. Answers come from the apply thread and the
// read threads, many in a row. When this thread wakes, many answers share one message, and those
// threads do not pay for the serializing and the system call.
class Flusher {
 public:
  Flusher();
  ~Flusher();
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;

  // Each stream is in the queue at most once, which bounds it.
  void Push(std::shared_ptr<Flushable> stream) { box_.Push(std::move(stream)); }

 private:
  Mailbox<std::shared_ptr<Flushable>> box_;
  std::thread thread_;
};

// Starts to serve the stream; gRPC owns what is returned until the stream ends.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeSession(
    grpc::CallbackServerContext* context, const ServiceHost& host, Flusher* flusher);

}  // namespace cairn::server
