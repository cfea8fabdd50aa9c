#include "log_store/log_store_test_util.h"

#include "log_store/log_format.h"

namespace cairn::log_store {

SegmentLogOptions TestOptions(uint64_t segment_bytes) {
  return {.segment_bytes = segment_bytes,
          .batch_bytes_max = 1 << 20,
          .prepare_in_background = false,
          .new_log_id = 0x1122334455667788};
}

raft::Entry MakeEntry(uint64_t index, uint64_t term, std::string payload) {
  return {.term = Term(term),
          .index = LogIndex(index),
          .type = raft::EntryType::kNormal,
          .payload = std::make_shared<const std::string>(std::move(payload))};
}

GroupWrite Append(uint64_t from, uint64_t to, uint64_t term, GroupId group) {
  GroupWrite write{.group = group};
  for (uint64_t i = from; i < to; ++i) {
    write.entries.push_back(
        MakeEntry(i, term, "e" + std::to_string(i) + "t" + std::to_string(term)));
  }
  return write;
}

GroupWrite Vote(uint64_t term, uint64_t vote, uint64_t commit, GroupId group) {
  return {.group = group,
          .hard_state = raft::HardState{
              .term = Term(term), .vote = MemberId(vote), .commit = LogIndex(commit)}};
}

GroupWrite Truncate(uint64_t from, GroupId group) {
  return {.group = group, .truncate_from = LogIndex(from)};
}

GroupWrite Reset(uint64_t index, uint64_t term, GroupId group) {
  return {.group = group,
          .reset_to = GroupWrite::ResetTo{.index = LogIndex(index), .term = Term(term)}};
}

std::string Dump(LogStore& store, GroupId group) {
  const auto groups = store.Groups();
  const auto it = groups.find(group);
  if (it == groups.end()) return "";
  const auto entries =
      store.Read(group, it->second.snapshot_index + 1, it->second.last + 1, 1 << 30);
  if (!entries.ok()) return entries.status().ToString();
  std::string out;
  for (const raft::Entry& entry : *entries) {
    if (!out.empty()) out += ' ';
    out += ToString(entry.index) + "@" + ToString(entry.term) + ":" + *entry.payload;
  }
  return out;
}

std::string StateOf(const LogStore& store, GroupId group) {
  const auto groups = store.Groups();
  const auto it = groups.find(group);
  if (it == groups.end()) return "none";
  const GroupState& s = it->second;
  return "term=" + ToString(s.hard_state.term) + " vote=" + ToString(s.hard_state.vote) +
         " commit=" + ToString(s.hard_state.commit) + " snapshot=" + ToString(s.snapshot_index) +
         "@" + ToString(s.snapshot_term) + " last=" + ToString(s.last);
}

std::unique_ptr<LogStore> MustOpen(FileSystem& fs, SegmentLogOptions options) {
  auto store = OpenSegmentLog(fs, kDirectory, options);
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  if (!store.ok()) return nullptr;
  return std::move(*store);
}

std::vector<std::string> SegmentPaths(FileSystem& fs) {
  std::vector<std::string> out;
  const auto names = fs.List(kDirectory);
  if (!names.ok()) return out;
  for (const std::string& name : *names) {
    if (ParseSegmentName(name).has_value()) out.push_back(std::string(kDirectory) + "/" + name);
  }
  return out;
}

}  // namespace cairn::log_store
