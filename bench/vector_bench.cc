// Vector search on Fashion-MNIST (Debian's dataset-fashion-mnist: 60,000 x 784), through SQL on one
// thread: the exact search beside the approximate one, and what the latter takes. Rates are per second
// of the processor's time, so that a busy machine counts less.

#include <time.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "state_machine/command.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kDimensions = 784;
constexpr size_t kQueries = 1000;
constexpr size_t kExactQueries = 200;
constexpr int kBytesOfHeader = 16;
constexpr char kNearest[] = "SELECT id FROM vector_top_k('i', ?1, 10)";
constexpr char kNearestOfAll[] = "SELECT id FROM t ORDER BY vector_distance_l2(v, ?1), id LIMIT 10";

std::vector<Blob> LoadImages(const std::string& name, size_t count) {
  const std::string path = "/usr/share/datasets/fashion-mnist/" + name + "-images-idx3-ubyte.gz";
  gzFile file = gzopen(path.c_str(), "rb");
  CHECK(file != nullptr) << "install dataset-fashion-mnist: " << path;
  unsigned char bytes[kDimensions];
  CHECK(gzread(file, bytes, kBytesOfHeader) == kBytesOfHeader);
  std::vector<Blob> images;
  while (images.size() < count && gzread(file, bytes, kDimensions) == kDimensions) {
    Blob blob;
    for (const unsigned char each : bytes) {
      const auto element = static_cast<float>(each);
      blob.bytes.append(reinterpret_cast<const char*>(&element), sizeof(element));
    }
    images.push_back(std::move(blob));
  }
  gzclose(file);
  return images;
}

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Ids final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    ids.push_back(std::get<int64_t>(row.at(0)));
    return OkStatus();
  }
  std::vector<int64_t> ids;
};

class Bench {
 public:
  explicit Bench(const std::string& directory) : directory_(directory) {
    options_.path = directory + "/db";
    options_.snapshot_directory = directory + "/snapshot";
    options_.vector_directory = directory + "/vectors";
    options_.cache_bytes = size_t{64} << 20;
    Open(0);
  }
  void Close() { machine_.reset(); }
  void Open(size_t vector_bytes_max) {
    Close();
    options_.vector_bytes_max = vector_bytes_max;
    auto opened = OpenSqliteStateMachine(options_, raft::Configuration());
    CHECK(opened.ok()) << opened.status().message();
    machine_ = std::move(opened).value();
  }
  void Apply(Operation operation) {
    Command command;
    command.operation = std::move(operation);
    auto payload = std::make_shared<std::string>();
    EncodeBatch({1'700'000'000'000, 1, 1000, 50'000'000'000}, {EncodeCommand(command)},
                payload.get());
    const raft::Entry entry = {Term(1), machine_->applied_index() + 1, raft::EntryType::kNormal,
                               payload};
    const Status status = machine_->Apply({&entry, 1}, raft::Configuration(), LogIndex(),
                                          [](const EntryResults& results) {
                                            for (const auto& each : results.results)
                                              CHECK(each.status.ok()) << each.status.message();
                                          });
    CHECK(status.ok()) << status.message();
  }
  void Load(const std::vector<Blob>& images) {
    Apply(RaiseLevel{kLevelDataPlatform});
    Apply(Execute{{{"CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(784))", {}, {}}}});
    int64_t id = 0;
    for (size_t at = 0; at < images.size();) {
      Execute execute;
      for (size_t i = 0; i < 500 && at < images.size(); ++i, ++at) {
        execute.statements.push_back({"INSERT INTO t VALUES(?1, ?2)", {++id, images[at]}, {}});
      }
      Apply(std::move(execute));
      CHECK(machine_->Checkpoint().ok());  // as the node does, so that the WAL stays small
    }
    Apply(Execute{{{"CREATE INDEX i ON t(libsql_vector_idx(v, 'metric=l2'))", {}, {}}}});
    CHECK(machine_->Checkpoint().ok());
  }
  std::vector<int64_t> Ask(const char* sql, const Blob& query) {
    auto view = machine_->OpenReadView(std::chrono::seconds(10));
    CHECK(view.ok()) << view.status().message();
    Ids sink;
    const Status status = (*view)->Query({sql, {query}, {}}, {}, &sink);
    CHECK(status.ok()) << status.message();
    return sink.ids;
  }
  // Queries per second of the processor.
  double Rate(const char* sql, const std::vector<Blob>& queries,
              std::vector<std::vector<int64_t>>* answers) {
    const double began = ThreadSeconds();
    for (const Blob& each : queries) answers->push_back(Ask(sql, each));
    return static_cast<double>(queries.size()) / (ThreadSeconds() - began);
  }
  uint64_t FileBytes() const {
    uint64_t bytes = 0;
    if (!std::filesystem::exists(options_.vector_directory)) return 0;
    for (const auto& each : std::filesystem::directory_iterator(options_.vector_directory)) {
      if (each.path().extension() == ".graph") bytes += each.file_size();
    }
    return bytes;
  }

 private:
  const std::string directory_;
  SqliteOptions options_;
  std::unique_ptr<StateMachine> machine_;
};

void Run(const std::string& directory) {
  const std::vector<Blob> images = LoadImages("train", 60'000);
  const std::vector<Blob> queries = LoadImages("t10k", kQueries);
  const std::vector<Blob> few(queries.begin(), queries.begin() + kExactQueries);
  Bench bench(directory);
  bench.Load(images);

  std::vector<std::vector<int64_t>> exact;
  std::printf("exact, vector_top_k        %8.0f queries/s and core\n",
              bench.Rate(kNearest, few, &exact));
  std::vector<std::vector<int64_t>> ordered;
  std::printf("exact, ORDER BY            %8.0f queries/s and core\n",
              bench.Rate(kNearestOfAll, few, &ordered));
  CHECK(exact == ordered);

  double began = WallSeconds();
  bench.Open(size_t{1} << 30);
  while (bench.FileBytes() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  std::printf("making the graph           %8.1f s of wall time, at low priority\n",
              WallSeconds() - began);
  const auto raw = static_cast<double>(images.size() * kDimensions * sizeof(float));
  std::printf("its file                   %8.3f of the raw vectors (%.1f MB)\n",
              static_cast<double>(bench.FileBytes()) / raw,
              static_cast<double>(bench.FileBytes()) / 1e6);

  std::vector<std::vector<int64_t>> found;
  bench.Ask(kNearest, queries[0]);
  for (int i = 0; i < 3; ++i) {
    found.clear();
    std::printf("approximate, vector_top_k  %8.0f queries/s and core\n",
                bench.Rate(kNearest, queries, &found));
  }
  size_t hits = 0;
  for (size_t i = 0; i < few.size(); ++i) {
    for (const int64_t each : exact[i]) {
      hits += static_cast<size_t>(std::count(found[i].begin(), found[i].end(), each));
    }
  }
  std::printf("recall@10                  %8.4f\n",
              static_cast<double>(hits) / static_cast<double>(10 * few.size()));

  bench.Close();
  began = WallSeconds();
  bench.Open(size_t{1} << 30);
  std::printf("restart, the database      %8.2f s\n", WallSeconds() - began);
  bench.Ask(kNearest, queries[0]);
  std::printf("restart, the first answer  %8.2f s\n", WallSeconds() - began);
  // The graph answers when a query takes a small part of what the exact search takes.
  for (double took = 1; took > 0.005;) {
    const double before = ThreadSeconds();
    bench.Ask(kNearest, queries[0]);
    took = ThreadSeconds() - before;
  }
  std::printf("restart, the graph answers %8.2f s\n", WallSeconds() - began);
}

}  // namespace
}  // namespace cairn::state_machine

int main() {
  std::string directory = (std::filesystem::temp_directory_path() / "vectors-XXXXXX").string();
  CHECK(mkdtemp(directory.data()) != nullptr);
  cairn::state_machine::Run(directory);
  std::filesystem::remove_all(directory);
  return 0;
}
