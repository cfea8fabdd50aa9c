// VectorGraphs: the files that keep graphs over a restart.

#include <set>
#include <utility>

#include "base/crc32c.h"
#include "base/log.h"
#include "state_machine/sqlite/vector_graphs.h"
#include "vectors/graph_distance.h"
#include "vectors/graph_file.h"

namespace cairn::state_machine {
namespace {

constexpr char kSuffix[] = ".graph";
constexpr size_t kFileBytesMax = size_t{4} << 30;

}  // namespace

// The name tells the index. Two indexes of one name in different files are told apart by the text in
// the file.
std::string VectorGraphs::PathOf(const Index& index) const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string name;
  for (uint32_t number = Crc32c(index.definition.sql), i = 0; i < 8; ++i, number >>= 4) {
    name.push_back(kDigits[number & 15]);
  }
  return options_.directory + "/" + name + kSuffix;
}

void VectorGraphs::Restore(LogIndex applied, Index* index) {
  const std::string path = PathOf(*index);
  const Result<bool> exists = options_.file_system->Exists(path);
  if (!exists.ok() || !*exists) return;
  const auto restore = [&]() -> Status {
    ASSIGN_OR_RETURN(const std::string bytes,
                     ReadWholeFile(*options_.file_system, path, kFileBytesMax));
    ASSIGN_OR_RETURN(const vectors::GraphFile file, vectors::DecodeGraph(bytes));
    if (file.definition != index->definition.sql) return DataLoss("it is of another index");
    if (file.applied > applied.value()) return DataLoss("it is of a later state of the database");
    if (!index->graph->Restore(file.nodes)) return DataLoss("its links are impossible");
    return OkStatus();
  };
  if (Status status = restore(); !status.ok()) {
    LOG_WARN("the file {} is not used: {}", path, status.message());
    index->graph = std::make_shared<vectors::Graph>(
        vectors::PaddedDimensions(index->definition.parameters.column->dimensions));
  }
}

Status VectorGraphs::Keep(Index* index) {
  vectors::GraphFile file;
  file.definition = index->definition.sql;
  file.applied = index->as_of.value_or(LogIndex(0)).value();
  file.nodes = index->graph->Keep();
  const std::string bytes = vectors::EncodeGraph(file);
  RETURN_IF_ERROR(options_.file_system->CreateDirectories(options_.directory));
  RETURN_IF_ERROR(WriteFileAtomically(*options_.file_system, PathOf(*index), bytes));
  index->unkept = 0;
  return OkStatus();
}

void VectorGraphs::RemoveOtherFiles() {
  const Result<bool> exists = options_.file_system->Exists(options_.directory);
  if (!exists.ok() || !*exists) return;
  const auto names = options_.file_system->List(options_.directory);
  if (!names.ok()) return;
  std::set<std::string> paths;
  for (const auto& [sql, index] : indexes_) paths.insert(PathOf(index));
  for (const std::string& name : *names) {
    const std::string path = options_.directory + "/" + name;
    if (!paths.contains(path)) (void)options_.file_system->Remove(path);
  }
}

}  // namespace cairn::state_machine
