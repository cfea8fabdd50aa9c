#include "state_machine/sqlite/request_conversion.h"

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/request_memory.h"
#include "state_machine/sqlite/sessions.h"
#include "state_machine/sqlite/transactions.h"

namespace cairn::state_machine {
namespace {

struct OldRequest {
  uint64_t number = 0;
  uint64_t sequence = 0;
  uint64_t hash = 0;
  bool held = false;
  std::string_view result;
  uint8_t code = kCodeNotKept;
};

// `number`: of the row.
Result<std::vector<OldRequest>> DecodeOldRow(uint64_t number, std::string_view row) {
  std::vector<OldRequest> requests;
  ByteReader reader(row);
  while (reader.remaining() > 0) {
    OldRequest& request = requests.emplace_back();
    request.number = number + reader.Varint();
    request.sequence = reader.Varint();
    request.hash = reader.U64();
    request.held = reader.U8() != 0;
    if (request.held) request.result = reader.String();
    if (!reader.ok()) return DataLoss("the row " + std::to_string(number) + " is damaged");
    if (!request.held) continue;
    const Result<CommandResult> decoded = DecodeCommandResult(request.result);
    if (!decoded.ok()) return DataLoss("row " + std::to_string(number) + ": a damaged result");
    request.code = static_cast<uint8_t>(decoded->status.code());
    request.held = decoded->status.ok();  // of an error the code alone is kept
  }
  return requests;
}

std::string EncodeRow(uint64_t number, const std::vector<OldRequest>& requests) {
  std::string out;
  for (const OldRequest& each : requests) {
    EncodeKeptRequest(each.number - number, each.sequence, each.hash, each.code,
                      each.held ? std::optional(each.result) : std::nullopt, &out);
  }
  return out;
}

// 0.1 stored a bare id as sequence 1 of a session of that name. So each session that has only this
// sequence may have been a bare id. Its name is kept as both.
struct BareId {
  std::string name;
  OldRequest request;
  std::string result;
};
using BareIdsByEntry = std::map<uint64_t, std::map<uint64_t, BareId>>;

Status WriteBareIds(sqlite3* db, uint64_t lease_ms, const BareIdsByEntry& entries) {
  InternalStatement ids;
  RETURN_IF_ERROR(
      ids.Prepare(db, "INSERT INTO _cairn_ids(number, lease_ms, ids) VALUES(?1, ?2, ?3)"));
  InternalStatement results;
  RETURN_IF_ERROR(results.Prepare(
      db, "INSERT INTO _cairn_id_results(number, owner, results) VALUES(?1, '', ?2)"));
  for (const auto& [index, of_entry] : entries) {
    const uint64_t first = of_entry.begin()->first;
    std::string encoded;
    for (const auto& [number, each] : of_entry) {
      const TextHash id = HashOfText(each.name);
      EncodeBareId(number - first, id, each.request.hash, each.request.code, "", &encoded);
      if (!each.request.held) continue;
      std::string result;
      ByteWriter writer(&result);
      writer.Varint(0);
      writer.String(each.result);
      RETURN_IF_ERROR(results.Bind(1, number).BindBlob(2, result).Run());
    }
    RETURN_IF_ERROR(ids.Bind(1, first).Bind(2, lease_ms).BindBlob(3, encoded).Run());
  }
  return OkStatus();
}

Status CopyRequests(sqlite3* db, uint64_t lease_ms, BareIdsByEntry* bare_ids) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db,
      "SELECT r.number, r.session, r.requests, s.name,"
      " s.acknowledged_below < 2 AND s.forgotten_below < 2 AND"
      " (SELECT count(*) FROM requests_of_0_1 o WHERE o.session = s.id) = 1"
      " FROM requests_of_0_1 r JOIN sessions_of_0_1 s ON r.session = s.id ORDER BY r.number"));
  InternalStatement write;
  RETURN_IF_ERROR(write.Prepare(db,
                                "INSERT INTO _cairn_requests(number, session, lease_ms, requests)"
                                " VALUES(?1, ?2, ?3, ?4)"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const uint64_t number = read.Uint(0);
    ASSIGN_OR_RETURN(const std::vector<OldRequest> requests, DecodeOldRow(number, read.Bytes(2)));
    const std::string encoded = EncodeRow(number, requests);
    RETURN_IF_ERROR(
        write.Bind(1, number).Bind(2, read.Uint(1)).Bind(3, lease_ms).BindBlob(4, encoded).Run());
    if (read.Int(4) == 0 || requests.size() != 1 || requests[0].sequence != 1) continue;
    const OldRequest& only = requests[0];
    (*bare_ids)[IndexOfCommand(only.number).value()][only.number] = {
        std::string(read.Bytes(3)), only, std::string(only.result)};
  }
}

}  // namespace

Status ConvertSessions(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT lease_ms FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return DataLoss("_cairn_state is empty");
  const uint64_t lease_ms = read.Uint(0);
  read.Finalize();
  RETURN_IF_ERROR(ExecInternal(db,
                               "CREATE TEMP TABLE sessions_of_0_1 AS SELECT * FROM _cairn_sessions;"
                               "CREATE TEMP TABLE requests_of_0_1 AS SELECT * FROM _cairn_requests;"
                               "CREATE INDEX temp.by_session ON requests_of_0_1(session);"
                               "DROP TABLE _cairn_sessions; DROP TABLE _cairn_requests"));
  RETURN_IF_ERROR(ExecInternal(db, Sessions::kSchema));
  RETURN_IF_ERROR(ExecInternal(db, BareIds::kSchema));
  InternalStatement copy;
  RETURN_IF_ERROR(copy.Prepare(
      db,
      "INSERT INTO _cairn_sessions(id, name, owner, used, used_lease_ms, acknowledged_below,"
      " forgotten_below, results_from) SELECT id, name, '', used, ?1, acknowledged_below,"
      " forgotten_below, (SELECT results_from FROM _cairn_state) FROM sessions_of_0_1"));
  RETURN_IF_ERROR(copy.Bind(1, lease_ms).Run());
  copy.Finalize();
  BareIdsByEntry bare_ids;
  RETURN_IF_ERROR(CopyRequests(db, lease_ms, &bare_ids));
  RETURN_IF_ERROR(WriteBareIds(db, lease_ms, bare_ids));
  return ExecInternal(db, "DROP TABLE sessions_of_0_1; DROP TABLE requests_of_0_1");
}

Status ConvertTransactions(sqlite3* db) {
  RETURN_IF_ERROR(
      ExecInternal(db,
                   "CREATE TEMP TABLE tx_of_0_1 AS SELECT * FROM _cairn_tx;"
                   "CREATE TEMP TABLE tx_statements_of_0_1 AS SELECT * FROM _cairn_tx_statements;"
                   "DROP TABLE _cairn_tx; DROP TABLE _cairn_tx_statements"));
  RETURN_IF_ERROR(ExecInternal(db, Transactions::kSchema));
  RETURN_IF_ERROR(ExecInternal(
      db,
      "INSERT INTO _cairn_tx(id, owner, state, number, deadline_lease_ms, wall_ms, seed, "
      "statements,"
      " reads, writes, holds_all, ended_lease_ms)"
      " SELECT id, '', state, number, deadline_lease_ms, wall_ms, seed, statements, reads, writes,"
      " holds_all, CASE WHEN state = 1 THEN 0 ELSE (SELECT lease_ms FROM _cairn_state) END"
      " FROM tx_of_0_1"));
  // These were Execute commands without an id, with one statement.
  InternalStatement others;
  RETURN_IF_ERROR(others.Prepare(db,
                                 "SELECT 1 FROM tx_statements_of_0_1"
                                 " WHERE substr(statement, 1, 5) <> x'0100000001'"));
  ASSIGN_OR_RETURN(const bool some, others.Next());
  if (some) return DataLoss("a prepared statement of 0.1 is malformed");
  others.Finalize();
  return ExecInternal(db,
                      "INSERT INTO _cairn_tx_statements(tx, place, statement)"
                      " SELECT tx, place, substr(statement, 6) FROM tx_statements_of_0_1;"
                      "DROP TABLE tx_of_0_1; DROP TABLE tx_statements_of_0_1");
}

}  // namespace cairn::state_machine
