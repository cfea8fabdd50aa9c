#include "vectors/graph_file.h"

#include "base/bytes.h"
#include "base/crc32c.h"

namespace cairn::vectors {
namespace {

constexpr std::string_view kMagic = "CAIRNVG\n";
constexpr uint32_t kFormat = 1;
constexpr size_t kChecksumBytes = 4;
// A node without a link.
constexpr size_t kNodeBytesMin = 8 + 4 + 1 + 1;

}  // namespace

std::string EncodeGraph(const GraphFile& file) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.Raw(kMagic);
  out.U32(kFormat);
  out.String(file.definition);
  out.U64(file.applied);
  out.U64(file.nodes.size());
  for (const Graph::Kept& node : file.nodes) {
    out.I64(node.rowid);
    out.U32(node.mark);
    out.U8(static_cast<uint8_t>(node.links.size()));
    for (const std::vector<uint32_t>& links : node.links) {
      out.U8(static_cast<uint8_t>(links.size()));
      for (const uint32_t place : links) out.U32(place);
    }
  }
  out.U32(Crc32c(bytes));
  return bytes;
}

Result<GraphFile> DecodeGraph(std::string_view bytes) {
  const Status damaged = DataLoss("the file of a graph is damaged");
  if (bytes.size() < kMagic.size() + kChecksumBytes || !bytes.starts_with(kMagic)) return damaged;
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (ByteReader(bytes.substr(body.size())).U32() != Crc32c(body)) return damaged;
  ByteReader in(body.substr(kMagic.size()));
  if (in.U32() != kFormat) return DataLoss("the file of a graph has another format");
  GraphFile file;
  file.definition = in.String();
  file.applied = in.U64();
  const uint64_t count = in.U64();
  if (!in.ok() || count > in.remaining() / kNodeBytesMin) return damaged;
  file.nodes.resize(count);
  for (Graph::Kept& node : file.nodes) {
    node.rowid = in.I64();
    node.mark = in.U32();
    node.links.resize(in.U8());
    for (std::vector<uint32_t>& links : node.links) {
      links.resize(in.U8());
      for (uint32_t& place : links) place = in.U32();
    }
    if (!in.ok()) return damaged;
  }
  if (!in.done()) return damaged;
  return file;
}

}  // namespace cairn::vectors
