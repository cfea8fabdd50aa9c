// Chunks of a snapshot: in any order, size and condition, over crashes and broken transfers, only
// the whole and correct file is ever handed over.
#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/fault_file_system.h"
#include "fuzz_input.h"
#include "transport/incoming_snapshot.h"

namespace cairn::transport {
namespace {

using fuzz::Decisions;

constexpr char kDirectory[] = "snapshots";

std::string TrueBytes(size_t size) {
  std::string out;
  for (size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(i * 7 + i / 251));
  return out;
}

class Transfer {
 public:
  explicit Transfer(Decisions* draw)
      : draw_(*draw), bytes_(TrueBytes(1 + draw->Below(200) * 11)), fs_(1) {
    key_ = {9, GroupId(1), LogIndex(5), Term(2), Crc32c(bytes_), bytes_.size()};
  }

  void Run() {
    while (!draw_.empty()) {
      if (!incoming_) Open();
      if (incoming_) Step();
    }
  }

 private:
  void Open() {
    auto opened = IncomingSnapshot::Open(fs_, kDirectory, key_, 0);
    CHECK(opened.ok()) << opened.status().ToString();
    incoming_ = std::move(*opened);
    CHECK(incoming_->offset() <= bytes_.size());
  }

  void Step() {
    switch (draw_.Below(8)) {
      case 0: CHECK(incoming_->Suspend().ok()); break;
      case 1: incoming_.reset(); break;
      case 2:
        incoming_.reset();
        fs_.Crash(static_cast<FaultFileSystem::Unsynced>(draw_.Below(4)));
        break;
      case 3: Rot(); break;
      case 4: Complete(); break;
      default: Append();
    }
  }

  void Append() {
    const uint64_t before = incoming_->offset();
    uint64_t offset = before;
    std::string data = bytes_.substr(before, draw_.Below(256));
    uint32_t crc = Crc32c(data);
    const uint64_t how = draw_.Below(8);
    if (how == 0) offset = draw_.Below(2) == 0 ? draw_.Word() : draw_.Below(256);
    if (how == 1 && !data.empty()) data[draw_.Below(data.size())] ^= 1;
    if (how == 2) {  // wrong bytes with a correct checksum: found when the file is whole
      data = draw_.Bytes(100);
      crc = Crc32c(data);
    }
    const Status status = incoming_->Append(offset, data, crc);
    if (!status.ok()) {
      CHECK(incoming_->offset() == before) << "a refused chunk moved the offset";
    }
    CHECK(incoming_->offset() <= bytes_.size());
  }

  void Rot() {
    const auto names = fs_.List(kDirectory).value();
    if (names.empty()) return;
    const std::string path = std::string(kDirectory) + "/" + names[draw_.Below(names.size())];
    const size_t size = fs_.Contents(path).size();
    if (size > 0) fs_.FlipByte(path, draw_.Below(256) % size, 1);
  }

  void Complete() {
    if (!incoming_->whole()) return;
    const Result<std::string> path = incoming_->Complete(Crc32c(bytes_), [] { return true; });
    incoming_.reset();
    if (!path.ok()) {
      CHECK(path.status().code() == StatusCode::kDataLoss) << path.status().ToString();
      return;
    }
    fs_.Crash(FaultFileSystem::Unsynced::kDrop);
    CHECK(fs_.Contents(*path) == bytes_) << "handed over what is not the snapshot";
    CHECK(RemoveReceivedSnapshots(fs_, kDirectory).ok());
  }

  Decisions& draw_;
  const std::string bytes_;
  FaultFileSystem fs_;
  SnapshotKey key_;
  std::unique_ptr<IncomingSnapshot> incoming_;
};

}  // namespace
}  // namespace cairn::transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::fuzz::Decisions draw(data, std::min<size_t>(size, 2048));
  cairn::transport::Transfer(&draw).Run();
  return 0;
}
