// SQL through proposal and apply: whatever the text, two replicas that see the same entries under
// different batch boundaries, one of them restarted in the middle, answer the same and hold the
// same rows. A line of the input is a statement; its first character may be
//   &  one more statement of the command before
//   +  one more command of the entry before
//   !  (alone) the first replica restarts here
//   ?  a query, which must change nothing
#include <algorithm>

#include "base/check.h"
#include "fuzz_input.h"
#include "sqlite_replica.h"

namespace cairn::fuzz {
namespace {

using namespace state_machine;  // NOLINT: a file of one layer's tests

constexpr const char* kSchema[] = {
    "CREATE TABLE t(a INTEGER UNIQUE CHECK(a < 600), b TEXT COLLATE NOCASE)",
    "CREATE TABLE w(k TEXT PRIMARY KEY, v ANY) WITHOUT ROWID, STRICT",
    "CREATE TABLE seq(n INTEGER PRIMARY KEY AUTOINCREMENT, x)",
    "CREATE TABLE g(n, twice AS (n * 2) STORED, h AS (hex(n)))",
    "CREATE VIRTUAL TABLE words USING fts5(body)",
    "CREATE VIEW v AS SELECT a, b FROM t WHERE a > 5",
    "CREATE TRIGGER t_insert AFTER INSERT ON t BEGIN INSERT INTO seq(x) VALUES(new.a); END",
    "INSERT INTO t VALUES(1, 'one'), (2, 'two'), (3, NULL), (40, x'00ff')",
    "INSERT INTO w VALUES('a', 1), ('b', 2.5)",
    "INSERT INTO g(n) VALUES(1), (7)",
    "INSERT INTO words VALUES('some words'), ('and others')",
};

class Discard : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(Row) override { return ++rows_ < 1000 ? OkStatus() : Cancelled("enough"); }

 private:
  int rows_ = 0;
};

BatchHeader HeaderAt(uint64_t number) {
  return {static_cast<int64_t>(1'700'000'000'000 + number * 1000), number * 17 + 1, 1000 + number,
          /*command_steps_max=*/200'000};
}

// The entries of the input that passed the check of proposals.
struct Script {
  std::vector<raft::Entry> entries;
  std::vector<std::string> queries;
  size_t restart_after = 0;  // entries
};

const std::string& Template() {
  static const std::string kContents = [] {
    SqliteReplica replica("template", "");
    replica.MustOpen();
    uint64_t index = 0;
    for (const char* sql : kSchema) {
      Command command;
      command.operation = Execute{{{sql, {}, {}}}};
      ++index;
      const std::vector<raft::Entry> entry = {EntryOf(LogIndex(index), HeaderAt(index), {command})};
      std::vector<EntryResults> results;
      CHECK(replica.Apply(entry, &results).ok());
      CHECK(results.at(0).results.at(0).status.ok()) << sql;
    }
    CHECK(replica.machine().Checkpoint().ok());
    replica.Close();
    return replica.Contents();
  }();
  return kContents;
}

Script Parse(std::string_view text, StateMachine* machine) {
  Script script;
  std::vector<std::vector<Command>> entries;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const char mark = line[0];
    if (mark == '!') {
      script.restart_after = entries.size();
      continue;
    }
    if (mark == '&' || mark == '+' || mark == '?') line.erase(0, 1);
    if (mark == '?') {
      script.queries.push_back(line);
      continue;
    }
    Command command;
    command.operation = Execute{{{line, {}, {}}}};
    if (!machine->CheckProposal(command).ok()) continue;
    if (mark == '&' && !entries.empty()) {
      std::get<Execute>(entries.back().back().operation).statements.push_back({line, {}, {}});
    } else if (mark == '+' && !entries.empty()) {
      entries.back().push_back(std::move(command));
    } else if (entries.size() < 30) {
      entries.push_back({std::move(command)});
    }
  }
  uint64_t index = machine->applied_index().value();
  for (const auto& commands : entries) {
    ++index;
    script.entries.push_back(EntryOf(LogIndex(index), HeaderAt(index), commands));
  }
  return script;
}

void Query(StateMachine* machine, const std::string& sql) {
  auto view = machine->OpenReadView(std::chrono::seconds(5));
  CHECK(view.ok()) << view.status().ToString();
  QueryLimits limits;
  limits.duration_max = std::chrono::milliseconds(200);
  Discard sink;
  (void)(*view)->Query({sql, {}, {}}, limits, &sink).ok();
}

// The sums that were kept while rows changed. They must equal the sums of the rows that exist.
StateDigest DigestOf(StateMachine* machine) {
  auto scan = machine->BeginScan();
  CHECK(scan.ok()) << scan.status().ToString();
  const Result<StateDigest> digest = (*scan)->Digest();
  CHECK(digest.ok()) << digest.status().ToString();
  for (;;) {
    const Result<bool> all_read = (*scan)->Scrub(std::chrono::seconds(1));
    CHECK(all_read.ok()) << all_read.status().ToString();
    if (*all_read) return *digest;
  }
}

void Try(std::string_view text) {
  SqliteReplica one("one", Template());
  SqliteReplica other("other", Template());
  one.MustOpen();
  other.MustOpen();
  const Script script = Parse(text, &one.machine());
  std::vector<EntryResults> one_by_one;
  for (size_t i = 0; i < script.entries.size(); ++i) {
    const Status status = one.Apply({&script.entries[i], 1}, &one_by_one);
    CHECK(status.ok()) << status.ToString();
    if (i + 1 != script.restart_after) continue;
    one.Close();
    one.MustOpen();
  }
  for (const std::string& sql : script.queries) Query(&one.machine(), sql);
  std::vector<EntryResults> all_at_once;
  const Status status = other.Apply(script.entries, &all_at_once);
  CHECK(status.ok()) << status.ToString();
  CHECK(Bytes(one_by_one) == Bytes(all_at_once)) << "replicas answer differently";
  CHECK(DigestOf(&one.machine()) == DigestOf(&other.machine())) << "replicas' digests differ";
  one.Close();
  other.Close();
  CHECK(one.Dump() == other.Dump()) << "replicas hold different rows";
}

}  // namespace
}  // namespace cairn::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::fuzz::Try({reinterpret_cast<const char*>(data), size});
  return 0;
}
