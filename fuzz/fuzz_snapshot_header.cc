// What peers say about themselves and about snapshots, in protobuf: any bytes are refused or mean
// one thing.
#include "base/check.h"
#include "fuzz_input.h"
#include "transport/peer_protocol.h"

namespace cairn::transport {
namespace {

void TryHeader(const std::string& bytes) {
  pb::SnapshotRequest request;
  if (!request.ParseFromString(bytes)) return;
  const Result<SnapshotHeader> header = ParseSnapshotHeader(request.header());
  if (!header.ok()) return;
  pb::SnapshotHeader filled;
  FillSnapshotHeader(*header, &filled);
  const Result<SnapshotHeader> again = ParseSnapshotHeader(filled);
  CHECK(again.ok() && again->meta == header->meta && again->copy_id == header->copy_id);
}

void TryHello(const std::string& bytes) {
  pb::Hello hello;
  if (!hello.ParseFromString(bytes)) return;
  const Identity identity = IdentityOf(hello);
  // A caller with this node's own values is accepted, unless it addresses another member.
  const Status status = CheckHello(hello, identity);
  (void)status.ok();
}

void TryReplies(const std::string& bytes) {
  pb::ProbeResponse probe;
  if (probe.ParseFromString(bytes)) (void)ParseProbeReply(probe).ok();
  pb::JoinResponse joined;
  if (joined.ParseFromString(bytes)) (void)ParseJoinReply(joined).ok();
  pb::JoinRequest join;
  if (join.ParseFromString(bytes)) (void)ParseJoinRequest(join);
}

}  // namespace
}  // namespace cairn::transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: cairn::transport::TryHeader(bytes); break;
    case 1: cairn::transport::TryHello(bytes); break;
    default: cairn::transport::TryReplies(bytes); break;
  }
  return 0;
}
