// The bytes in which a node keeps a graph. They hold the links and no vectors, which the rows have
// (docs/internals/vectors.md specifies them).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "vectors/graph.h"

namespace cairn::vectors {

struct GraphFile {
  std::string definition;  // the text of the index
  uint64_t applied = 0;    // the index of the log that the rows were at
  std::vector<Graph::Kept> nodes;
};

std::string EncodeGraph(const GraphFile& file);
// DATA_LOSS if the bytes are not those of EncodeGraph. Links may still be impossible ones, which
// Graph::Restore finds.
Result<GraphFile> DecodeGraph(std::string_view bytes);

}  // namespace cairn::vectors
