// The log store against the bare limit of the disk, in one run: a pwrite of as many bytes into a
// file full of zeros, and one fdatasync.
//
//   log_store_bench [directory] [--benchmark_...]     directory: where the files go; default "."
#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file_system.h"
#include "log_store/segment_log.h"

namespace cairn::log_store {
namespace {

constexpr GroupId kGroup{1};
constexpr uint64_t kFileBytes = 16 << 20;
constexpr size_t kPayloadBytes = 100;
constexpr uint64_t kRecordBytes = 40 + kPayloadBytes;

std::string g_directory = ".";

std::string FreshDirectory() {
  std::string path = g_directory + "/log_store_bench.tmp";
  std::filesystem::remove_all(path);
  CHECK(PosixFileSystem().CreateDirectories(path).ok());
  return path;
}

uint64_t BatchBytes(uint64_t entries) { return (32 + entries * kRecordBytes + 7) / 8 * 8; }

void BareWriteAndSync(benchmark::State& state) {
  const std::string directory = FreshDirectory();
  auto file = PosixFileSystem().Open(directory + "/raw", /*create=*/true).value();
  CHECK(file->WriteAt(0, std::string(kFileBytes, '\0')).ok());
  CHECK(file->Sync().ok());
  const std::string bytes(BatchBytes(static_cast<uint64_t>(state.range(0))), 'b');
  uint64_t at = 0;
  for (auto _ : state) {
    if (at + bytes.size() > kFileBytes) at = 0;
    CHECK(file->WriteAt(at, bytes).ok());
    CHECK(file->Sync().ok());
    at += bytes.size();
  }
  std::filesystem::remove_all(directory);
}

// Appends batches of range(0) entries. Compacts as a node does, so that segments come and go.
void Append(benchmark::State& state, bool sync) {
  const std::string directory = FreshDirectory();
  auto store = OpenSegmentLog(PosixFileSystem(), directory, {}).value();
  const auto payload = std::make_shared<const std::string>(kPayloadBytes, 'p');
  LogIndex last;
  for (auto _ : state) {
    std::vector<GroupWrite> writes(1);
    writes[0].group = kGroup;
    for (int64_t i = 0; i < state.range(0); ++i) {
      writes[0].entries.push_back(
          {.term = Term(1), .index = ++last, .type = raft::EntryType::kNormal, .payload = payload});
    }
    CHECK(store->Write(writes).ok());
    if (sync) {
      CHECK(store->Sync().ok());
    }
    if (last.value() % 100'000 < static_cast<uint64_t>(state.range(0)) && last.value() > 100'000) {
      CHECK(store->Compact(kGroup, last - 50'000, Term(1)).ok());
      CHECK(store->Sync().ok());
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  store.reset();
  std::filesystem::remove_all(directory);
}

void WriteAndSync(benchmark::State& state) { Append(state, true); }
void WriteOnly(benchmark::State& state) { Append(state, false); }

void Open(benchmark::State& state) {
  const std::string directory = FreshDirectory();
  const auto payload = std::make_shared<const std::string>(kPayloadBytes, 'p');
  {
    auto store = OpenSegmentLog(PosixFileSystem(), directory, {}).value();
    LogIndex last;
    while (last.value() < static_cast<uint64_t>(state.range(0))) {
      std::vector<GroupWrite> writes(1);
      writes[0].group = kGroup;
      for (int i = 0; i < 1000; ++i) {
        writes[0].entries.push_back({.term = Term(1),
                                     .index = ++last,
                                     .type = raft::EntryType::kNormal,
                                     .payload = payload});
      }
      CHECK(store->Write(writes).ok());
    }
    CHECK(store->Sync().ok());
  }
  for (auto _ : state) {
    auto store = OpenSegmentLog(PosixFileSystem(), directory, {});
    CHECK(store.ok()) << store.status().ToString();
    state.PauseTiming();  // closing waits for the segment being prepared
    store.value().reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  std::filesystem::remove_all(directory);
}

BENCHMARK(BareWriteAndSync)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();
BENCHMARK(WriteAndSync)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();
BENCHMARK(WriteOnly)->Arg(1)->Arg(100)->UseRealTime();
BENCHMARK(Open)->Arg(1'000'000)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::log_store

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc > 1) cairn::log_store::g_directory = argv[1];
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
