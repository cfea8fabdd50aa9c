// The memory of answered requests. There are two inputs. First: any requests, retries,
// acknowledgements and lapses of time, on two replicas with different batch boundaries and
// restarts; the replicas must stay equal and run no request twice. Second: a file whose session
// rows Cairn did not write; it must be refused or tolerated.
#include <map>

#include "base/check.h"
#include "fuzz_input.h"
#include "sqlite_replica.h"

namespace cairn::fuzz {
namespace {

using namespace state_machine;  // NOLINT: a file of one layer's tests

Command InsertOf(const std::string& session, uint64_t sequence) {
  Command command;
  command.id = {session, sequence};
  command.operation = Execute{{{"INSERT INTO t VALUES(?, ?) RETURNING k, n",
                                {session, static_cast<int64_t>(sequence)},
                                {}}}};
  return command;
}

BatchHeader HeaderAt(uint64_t index, uint64_t lease_ms) {
  return {static_cast<int64_t>(1'700'000'000'000 + index), index, lease_ms, 100'000};
}

// A table, and one answered request of session "a".
const std::string& Template() {
  static const std::string kContents = [] {
    SqliteReplica replica("template", "");
    replica.MustOpen();
    Command create;
    create.operation = Execute{
        {{"CREATE TABLE t(k TEXT, n INTEGER)", {}, {}}, {"CREATE TABLE u(n UNIQUE)", {}, {}}}};
    const std::vector<raft::Entry> entries = {
        EntryOf(LogIndex(1), HeaderAt(1, 1000), {create}),
        EntryOf(LogIndex(2), HeaderAt(2, 1000), {InsertOf("a", 1), InsertOf("bare", 0)})};
    std::vector<EntryResults> results;
    CHECK(replica.Apply(entries, &results).ok());
    CHECK(results.at(1).results.at(0).status.ok());
    CHECK(replica.machine().Checkpoint().ok());
    replica.Close();
    return replica.Contents();
  }();
  return kContents;
}

Command DrawCommand(Decisions* draw) {
  static constexpr const char* kNames[] = {"a", "b", "c", "d"};
  const std::string session = kNames[draw->Below(4)];
  const uint64_t sequence = draw->Below(16) == 0 ? draw->Word() : draw->Below(24);
  Command command = InsertOf(session, sequence);
  switch (draw->Below(8)) {
    case 0: command.operation = OpenSession{}; break;
    case 1: command.operation = AdvanceLease{}; break;
    // Another request under the same id.
    case 2: command.operation = Execute{{{"DELETE FROM t WHERE n = 99", {}, {}}}}; break;
    case 3: command.acknowledged_below = draw->Below(24); break;
    case 4: command.id.sequence = 0; break;  // a bare id
    case 5: command.principal = draw->Below(2) == 0 ? "host:a" : "user:b"; break;
    // If a row with the same number exists, the whole batch is undone.
    case 6:
      command.operation = Execute{
          {{"INSERT OR ROLLBACK INTO u VALUES(?)", {static_cast<int64_t>(draw->Below(4))}, {}}}};
      break;
    default: break;
  }
  return command;
}

std::string Describe(const CommandResult& result) {
  return result.status.ToString() + " index " + ToString(result.index) +
         (result.result_gone ? " gone" : "") + " statements " +
         std::to_string(result.statements.size());
}

void TryRequests(Decisions* draw) {
  SqliteReplica one("one", Template());
  SqliteReplica other("other", Template());
  one.MustOpen();
  other.MustOpen();
  std::vector<raft::Entry> entries;
  std::vector<EntryResults> one_by_one;
  uint64_t lease_ms = 1000;
  while (!draw->empty() && entries.size() < 60) {
    std::vector<Command> commands;
    for (uint64_t left = 1 + draw->Below(3); left > 0; --left)
      commands.push_back(DrawCommand(draw));
    if (draw->Below(16) == 0) lease_ms += draw->Below(3) * 8 * 60 * 1000;
    const uint64_t index = entries.size() + 3;
    entries.push_back(EntryOf(LogIndex(index), HeaderAt(index, lease_ms), commands));
    CHECK(one.Apply({&entries.back(), 1}, &one_by_one).ok());
    if (draw->Below(16) != 0) continue;
    one.Close();
    one.MustOpen();
  }
  std::vector<EntryResults> all_at_once;
  CHECK(other.Apply(entries, &all_at_once).ok());
  for (size_t i = 0; i < one_by_one.size(); ++i) {
    for (size_t j = 0; j < one_by_one[i].results.size(); ++j) {
      const CommandResult& a = one_by_one[i].results[j];
      const CommandResult& b = all_at_once[i].results[j];
      CHECK(EncodeCommandResult(a) == EncodeCommandResult(b))
          << "replicas answer entry " << ToString(one_by_one[i].index) << " command " << j
          << " differently: " << Describe(a) << " and " << Describe(b);
    }
  }
  one.Close();
  other.Close();
  CHECK(one.Dump() == other.Dump()) << "replicas hold different rows";
}

void TryForeignRows(Decisions* draw) {
  SqliteReplica replica("one", Template());
  static constexpr const char* kColumns[] = {"_cairn_sessions SET used",
                                             "_cairn_sessions SET used_lease_ms",
                                             "_cairn_sessions SET forgotten_below",
                                             "_cairn_sessions SET acknowledged_below",
                                             "_cairn_sessions SET id",
                                             "_cairn_sessions SET name",
                                             "_cairn_requests SET number",
                                             "_cairn_requests SET session",
                                             "_cairn_requests SET lease_ms",
                                             "_cairn_ids SET number",
                                             "_cairn_ids SET lease_ms",
                                             "_cairn_id_results SET number",
                                             "_cairn_state SET results_from"};
  for (uint64_t left = draw->Below(3); left > 0; --left) {
    const std::string column = kColumns[draw->Below(std::size(kColumns))];
    const auto value = static_cast<int64_t>(draw->Below(2) == 0 ? draw->Word() : draw->Below(8));
    replica.Tamper("UPDATE " + column + " = " + std::to_string(value));
  }
  if (draw->Below(4) != 0) {
    static constexpr const char* kBlobs[] = {"_cairn_requests SET requests", "_cairn_ids SET ids",
                                             "_cairn_id_results SET results"};
    const std::string blob = kBlobs[draw->Below(std::size(kBlobs))];
    replica.Tamper("UPDATE " + blob + " = ?", {draw->Rest()});
  }
  if (!replica.Open().ok()) return;
  const std::vector<raft::Entry> entries = {
      EntryOf(LogIndex(3), HeaderAt(3, 2000), {InsertOf("a", 1), InsertOf("a", 2)}),
      EntryOf(LogIndex(4), HeaderAt(4, 1ULL << 40),
              {InsertOf("a", 1), InsertOf("b", 1), InsertOf("bare", 0)})};
  std::vector<EntryResults> results;
  (void)replica.Apply(entries, &results).ok();
}

}  // namespace
}  // namespace cairn::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::fuzz::Decisions draw(data, size);
  if (draw.Below(2) == 0) {
    cairn::fuzz::TryRequests(&draw);
  } else {
    cairn::fuzz::TryForeignRows(&draw);
  }
  return 0;
}
