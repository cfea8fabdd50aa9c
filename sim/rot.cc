#include "sim/rot.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "log_store/log_format.h"
#include "sim/digest.h"

namespace cairn::sim {
namespace {

struct Place {
  std::string path;
  uint64_t below = 0;  // any byte below this
};

std::vector<std::string> FilesIn(FaultFileSystem& disk, const std::string& directory) {
  std::vector<std::string> paths;
  const auto names = disk.List(directory);
  for (const std::string& name : names.ok() ? *names : std::vector<std::string>()) {
    if (disk.Holds(directory + "/" + name)) paths.push_back(directory + "/" + name);
  }
  return paths;
}

// The offset below which all of the last segment was durable when its last batch was written.
uint64_t DurableEnd(const std::string& bytes) {
  const auto header = log_store::DecodeSegmentHeader(
      std::string_view(bytes).substr(0, log_store::kSegmentHeaderBytes), "segment");
  if (!header.ok()) return 0;
  uint64_t durable = header->head_end;
  uint64_t at = log_store::kSegmentHeaderBytes;
  while (at + log_store::kBatchHeaderBytes <= bytes.size() && bytes.compare(at, 4, "BTCH") == 0) {
    ByteReader reader(std::string_view(bytes).substr(at + 16));
    durable = std::max(durable, reader.U64());
    at += log_store::kBatchHeaderBytes + reader.U32();
    at = (at + log_store::kBatchAlignment - 1) / log_store::kBatchAlignment *
         log_store::kBatchAlignment;
  }
  return durable;
}

std::vector<Place> ColdParts(FaultFileSystem& disk, const std::string& data_directory) {
  std::vector<Place> places;
  std::vector<std::string> segments;
  for (const std::string& path : FilesIn(disk, data_directory + "/log")) {
    if (path.ends_with(".seg")) segments.push_back(path);
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool is_last = i + 1 == segments.size();
    const std::string bytes = disk.Contents(segments[is_last ? i : i + 1]);
    const auto header = log_store::DecodeSegmentHeader(
        std::string_view(bytes).substr(0, log_store::kSegmentHeaderBytes), "segment");
    if (!header.ok()) continue;
    places.push_back({segments[i], is_last ? DurableEnd(bytes) : header->previous_end});
  }
  if (disk.Holds(data_directory + "/identity")) {
    places.push_back({data_directory + "/identity", UINT64_MAX});
  }
  for (const std::string& path : FilesIn(disk, data_directory + "/snapshot")) {
    // This file was checked and is about to become the database. From here on it is treated like
    // any other database file.
    if (path.find("/received-") != std::string::npos) continue;
    places.push_back({path, UINT64_MAX});
  }
  return places;
}

}  // namespace

bool FlipColdBit(FaultFileSystem& disk, const std::string& data_directory, Rng& rng) {
  std::vector<Place> places = ColdParts(disk, data_directory);
  for (Place& place : places) {
    place.below = std::min<uint64_t>(place.below, disk.Contents(place.path).size());
  }
  std::erase_if(places, [](const Place& place) { return place.below == 0; });
  if (places.empty()) return false;
  const Place& place = places[rng.Below(places.size())];
  disk.FlipByte(place.path, rng.Below(place.below), static_cast<uint8_t>(1U << rng.Below(8)));
  return true;
}

bool FlipBitOfText(FaultFileSystem& disk, const std::string& path, const std::string& text,
                   Rng& rng) {
  if (!disk.Holds(path)) return false;
  const std::string bytes = disk.Contents(path);
  std::vector<size_t> places;
  for (size_t at = bytes.find(text); at != std::string::npos; at = bytes.find(text, at + 1)) {
    places.push_back(at);
  }
  if (places.empty()) return false;
  const uint64_t offset = places[rng.Below(places.size())] + rng.Below(text.size());
  const auto mask = static_cast<uint8_t>(1U << rng.Below(8));
  const Result<DatabaseDigest> before = DigestOfDatabase(disk, path);
  disk.FlipByte(path, offset, mask);
  const Result<DatabaseDigest> after = DigestOfDatabase(disk, path);
  if (before.ok() && after.ok() && before->digest != after->digest) return true;
  disk.FlipByte(path, offset, mask);
  return false;
}

}  // namespace cairn::sim
