#include "state_machine/sqlite/transactions.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {
namespace {

std::string EncodeNames(const std::set<std::string>& names) {
  std::string out;
  ByteWriter writer(&out);
  writer.Varint(names.size());
  for (const std::string& name : names) writer.String(name);
  return out;
}

bool DecodeNames(std::string_view bytes, std::set<std::string>* names) {
  ByteReader reader(bytes);
  const uint64_t count = reader.Varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) names->emplace(reader.String());
  return reader.done();
}

constexpr uint64_t kStatementBytes = 256;
constexpr uint64_t kValueBytes = 48;
constexpr uint64_t kTableNameBytes = 96;

uint64_t BytesOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return kValueBytes + text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return kValueBytes + blob->bytes.size();
  return kValueBytes;
}

Status Held(const std::string& table, const PreparedTx& tx) {
  return Aborted((table.empty() ? "the database" : "table " + table) +
                 " is held by the prepared transaction '" + tx.id +
                 "'; try again when it has ended");
}

}  // namespace

uint64_t BytesOf(const Statement& statement) {
  uint64_t bytes = kStatementBytes + statement.sql.size();
  for (const Value& value : statement.positional) bytes += BytesOf(value);
  for (const NamedValue& named : statement.named) {
    bytes += kValueBytes + named.name.size() + BytesOf(named.value);
  }
  return bytes;
}

uint64_t BytesOf(const PreparedTx& tx) {
  uint64_t bytes = kTxBytes;
  for (const Statement& statement : tx.statements) bytes += BytesOf(statement);
  for (const auto* names : {&tx.reads, &tx.writes}) {
    for (const std::string& name : *names) bytes += kTableNameBytes + name.size();
  }
  return bytes;
}

static_assert(static_cast<int>(TxState::kExpired) == 4, "Load orders by it");

const char* const Transactions::kSchema =
    "CREATE TABLE _cairn_tx(id TEXT PRIMARY KEY, owner TEXT NOT NULL, state INTEGER NOT NULL,"
    " number INTEGER NOT NULL,"
    " deadline_lease_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL, seed INTEGER NOT NULL,"
    " statements INTEGER NOT NULL, reads BLOB, writes BLOB, holds_all INTEGER NOT NULL,"
    " ended_lease_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE _cairn_tx_statements(tx TEXT NOT NULL, place INTEGER NOT NULL,"
    " statement BLOB NOT NULL, PRIMARY KEY(tx, place)) WITHOUT ROWID";

const char* const kTransactionInfoSql =
    "SELECT state, statements, number, deadline_lease_ms, owner FROM _cairn_tx WHERE id = ?1";

TxInfo MakeTxInfo(int64_t state, int64_t statements, int64_t number, int64_t deadline_lease_ms) {
  TxInfo info;
  info.state = static_cast<TxState>(state);
  info.statements = static_cast<uint64_t>(statements);
  info.deadline_lease_ms = static_cast<uint64_t>(deadline_lease_ms);
  if (info.state != TxState::kPrepared) {
    info.finished_index = IndexOfCommand(static_cast<uint64_t>(number));
  }
  return info;
}

// ---- Opening ------------------------------------------------------------------------------------

Status Transactions::Open(sqlite3* db) {
  RETURN_IF_ERROR(Load(db));
  RETURN_IF_ERROR(write_tx_.Prepare(
      db,
      "REPLACE INTO _cairn_tx(id, state, number, deadline_lease_ms, wall_ms, seed, statements,"
      " reads, writes, holds_all, owner, ended_lease_ms)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"));
  RETURN_IF_ERROR(remove_tx_.Prepare(db, "DELETE FROM _cairn_tx WHERE id = ?1"));
  RETURN_IF_ERROR(write_statement_.Prepare(
      db, "INSERT INTO _cairn_tx_statements(tx, place, statement) VALUES(?1, ?2, ?3)"));
  return remove_statements_.Prepare(db, "DELETE FROM _cairn_tx_statements WHERE tx = ?1");
}

void Transactions::Close() {
  for (InternalStatement* each :
       {&write_tx_, &remove_tx_, &write_statement_, &remove_statements_}) {
    each->Finalize();
  }
  BatchCommitted();
  prepared_.clear();
  deadlines_.clear();
  holding_all_.clear();
  holders_.clear();
  ended_.clear();
  by_end_.clear();
  shares_.Clear();
  ids_.Clear();
}

Status Transactions::Load(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT ended_from FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool state, read.Next());
  if (!state) return DataLoss("_cairn_state is empty");
  ended_from_ = saved_ended_from_ = read.Uint(0);
  read.Finalize();
  // In the order in which transactions ended. Transactions that expired at the beginning of an
  // entry have the number of its first command, and ended in the order of their deadlines.
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT id, state, number, deadline_lease_ms, wall_ms, seed,"
                               " reads, writes, holds_all, owner, ended_lease_ms FROM _cairn_tx"
                               " ORDER BY number, state <> 4, deadline_lease_ms, id"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const std::string id(read.Bytes(0));
    const auto tx_state = static_cast<TxState>(read.Int(1));
    const std::string owner(read.Bytes(9));
    CountId(owner, id, /*more=*/true);
    if (tx_state != TxState::kPrepared) {
      AddEnded(id, {owner, tx_state, read.Uint(2), read.Uint(10)}, /*newest=*/true);
      continue;
    }
    PreparedTx tx;
    tx.id = id;
    tx.owner = owner;
    tx.number = read.Uint(2);
    tx.deadline_lease_ms = read.Uint(3);
    tx.wall_ms = read.Int(4);
    tx.seed = read.Uint(5);
    tx.holds_all = read.Int(8) != 0;
    if (!DecodeNames(read.Bytes(6), &tx.reads) || !DecodeNames(read.Bytes(7), &tx.writes)) {
      return DataLoss("_cairn_tx: the tables held by '" + tx.id + "' cannot be read");
    }
    prepared_.emplace(id, std::move(tx));
  }
  RETURN_IF_ERROR(LoadStatements(db));
  for (const auto& [id, tx] : prepared_) {
    Hold(tx, /*holds=*/true);
    shares_.Add(shares_.Of(tx.owner), BytesOf(tx));
  }
  return OkStatus();
}

Status Transactions::LoadStatements(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT tx, statement FROM _cairn_tx_statements ORDER BY tx, place"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const auto it = prepared_.find(std::string(read.Bytes(0)));
    if (it == prepared_.end()) {
      return DataLoss("_cairn_tx_statements: a statement of no prepared transaction");
    }
    Result<Statement> statement = DecodeStatement(read.Bytes(1));
    if (!statement.ok()) {
      return DataLoss("_cairn_tx_statements, of '" + it->first +
                      "': " + statement.status().message());
    }
    it->second.statements.push_back(*std::move(statement));
  }
}

// ---- Questions ----------------------------------------------------------------------------------

const PreparedTx* Transactions::FindPrepared(const std::string& id) const {
  const auto it = prepared_.find(id);
  return it == prepared_.end() ? nullptr : &it->second;
}

const EndedTx* Transactions::FindEnded(const std::string& id) const {
  const auto it = ended_.find(id);
  return it == ended_.end() ? nullptr : &it->second;
}

std::optional<uint64_t> Transactions::NextDeadlineLeaseMs() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

const PreparedTx* Transactions::FirstBut(const Deadlines& deadlines,
                                         const std::string& tx_id) const {
  for (const auto& [deadline, id] : deadlines) {
    if (id != tx_id) return &prepared_.at(id);
  }
  return nullptr;
}

Status Transactions::CheckConflicts(const ProgramFacts& facts, const std::string& tx_id) const {
  // sqlite_sequence holds data of tables that may be held, and SQLite does not report which.
  const bool all = facts.changes_schema || facts.writes_sequence;
  const PreparedTx* holder = FirstBut(all ? deadlines_ : holding_all_, tx_id);
  if (holder != nullptr) return Held("", *holder);
  for (const std::string& table : facts.writes) {
    const auto it = holders_.find(table);
    if (it == holders_.end()) continue;
    holder = FirstBut(it->second.readers, tx_id);
    if (holder == nullptr) holder = FirstBut(it->second.writers, tx_id);
    if (holder != nullptr) return Held(table, *holder);
  }
  if (tx_id.empty()) return OkStatus();
  for (const std::string& table : facts.reads) {
    const auto it = holders_.find(table);
    if (it == holders_.end()) continue;
    holder = FirstBut(it->second.writers, tx_id);
    if (holder != nullptr) return Held(table, *holder);
  }
  return OkStatus();
}

Status Transactions::CheckRoom(const std::string& owner, const std::string& tx_id, uint64_t bytes) {
  const PreparedTx* const known = FindPrepared(tx_id);
  const uint64_t counted = known == nullptr ? 0 : BytesOf(*known);
  if (bytes <= counted || shares_.Fits(*shares_.Of(owner), bytes - counted)) return OkStatus();
  return ResourceExhausted(
             "no room for more prepared transactions: commit or roll back those that "
             "are prepared, or make this one smaller (all together hold " +
             std::to_string(kPreparedBytesMax >> 20) +
             " MiB, those of one client an eighth of that)")
      .With(Outcome::kNotApplied);
}

Status Transactions::CheckRoomForId(const std::string& owner, const std::string& tx_id) {
  if (ids_.Fits(*ids_.Of(owner), kKnownTxBytes + tx_id.size())) return OkStatus();
  return ResourceExhausted(
             "no room to remember more transactions: wait until the oldest that have ended are "
             "forgotten")
      .With(Outcome::kNotApplied);
}

// ---- Memory -------------------------------------------------------------------------------------

void Transactions::Hold(const PreparedTx& tx, bool holds) {
  const auto note = [&tx, holds](Deadlines* deadlines) {
    if (holds) deadlines->emplace(tx.deadline_lease_ms, tx.id);
    if (!holds) deadlines->erase({tx.deadline_lease_ms, tx.id});
  };
  note(&deadlines_);
  if (tx.holds_all) note(&holding_all_);
  for (const std::string& table : tx.reads) note(&holders_[table].readers);
  for (const std::string& table : tx.writes) note(&holders_[table].writers);
  if (holds) return;
  for (const auto* tables : {&tx.reads, &tx.writes}) {
    for (const std::string& table : *tables) {
      const auto it = holders_.find(table);
      const bool idle = it != holders_.end() && it->second.readers.empty();
      if (idle && it->second.writers.empty()) holders_.erase(it);
    }
  }
}

void Transactions::AddPrepared(PreparedTx tx) {
  Hold(tx, true);
  shares_.Add(shares_.Of(tx.owner), BytesOf(tx));
  std::string id = tx.id;
  prepared_.emplace(std::move(id), std::move(tx));
}

PreparedTx Transactions::TakePrepared(const std::string& id) {
  PreparedTx tx = std::move(prepared_.extract(id).mapped());
  Hold(tx, false);
  shares_.Take(shares_.Of(tx.owner), BytesOf(tx));
  return tx;
}

void Transactions::AddEnded(const std::string& id, EndedTx tx, bool newest) {
  const auto it = ended_.emplace(id, std::move(tx)).first;
  if (newest) {
    by_end_.push_back(&it->first);
  } else {
    by_end_.push_front(&it->first);
  }
}

EndedTx Transactions::TakeEnded(const std::string& id, bool newest) {
  const auto it = ended_.find(id);
  if (newest) {
    by_end_.pop_back();
  } else {
    by_end_.pop_front();
  }
  EndedTx tx = std::move(it->second);
  ended_.erase(it);
  return tx;
}

void Transactions::CountId(const std::string& owner, const std::string& id, bool more) {
  const uint64_t bytes = kKnownTxBytes + id.size();
  if (more) {
    ids_.Add(ids_.Of(owner), bytes);
  } else {
    ids_.Take(ids_.Of(owner), bytes);
  }
}

// ---- Changes ------------------------------------------------------------------------------------

Status Transactions::WritePrepared(const PreparedTx& tx) {
  const std::string reads = EncodeNames(tx.reads);
  const std::string writes = EncodeNames(tx.writes);
  return write_tx_.BindText(1, tx.id)
      .Bind(2, static_cast<int64_t>(TxState::kPrepared))
      .Bind(3, tx.number)
      .Bind(4, tx.deadline_lease_ms)
      .Bind(5, tx.wall_ms)
      .Bind(6, tx.seed)
      .Bind(7, static_cast<uint64_t>(tx.statements.size()))
      .BindBlob(8, reads)
      .BindBlob(9, writes)
      .Bind(10, static_cast<int64_t>(tx.holds_all))
      .BindText(11, tx.owner)
      .Bind(12, uint64_t{0})
      .Run();
}

Status Transactions::WriteEnded(const std::string& id, const EndedTx& tx,
                                uint64_t deadline_lease_ms, uint64_t statements) {
  const std::string none = EncodeNames({});
  return write_tx_.BindText(1, id)
      .Bind(2, static_cast<int64_t>(tx.state))
      .Bind(3, tx.number)
      .Bind(4, deadline_lease_ms)
      .Bind(5, uint64_t{0})
      .Bind(6, uint64_t{0})
      .Bind(7, statements)
      .BindBlob(8, none)
      .BindBlob(9, none)
      .Bind(10, uint64_t{0})
      .BindText(11, tx.owner)
      .Bind(12, tx.ended_lease_ms)
      .Run();
}

Status Transactions::Stage(PreparedTx tx) {
  Step& step = steps_.emplace_back(Step{Step::Kind::kStage, tx.id, std::nullopt, {}});
  if (FindPrepared(tx.id) != nullptr) {
    step.prepared = TakePrepared(tx.id);
  } else {
    CountId(tx.owner, tx.id, /*more=*/true);
  }
  const size_t known = step.prepared ? step.prepared->statements.size() : 0;
  CHECK(tx.statements.size() == known + 1) << "one statement is staged at a time";
  const std::string encoded = EncodeStatement(tx.statements.back());
  const std::string id = tx.id;
  const auto place = static_cast<uint64_t>(tx.statements.size());
  const Status written = WritePrepared(tx);
  AddPrepared(std::move(tx));
  RETURN_IF_ERROR(written);
  return write_statement_.BindText(1, id).Bind(2, place).BindBlob(3, encoded).Run();
}

Status Transactions::Finish(const std::string& id, TxState state, uint64_t number,
                            const std::string& owner) {
  Step& step = steps_.emplace_back(Step{Step::Kind::kFinish, id, std::nullopt, {}});
  EndedTx ended{owner, state, number, lease_ms_};
  uint64_t deadline_lease_ms = 0;
  uint64_t statements = 0;
  if (FindPrepared(id) != nullptr) {
    step.prepared = TakePrepared(id);
    ended.owner = step.prepared->owner;
    deadline_lease_ms = step.prepared->deadline_lease_ms;
    statements = step.prepared->statements.size();
  } else {
    CountId(owner, id, /*more=*/true);
  }
  AddEnded(id, ended, /*newest=*/true);
  RETURN_IF_ERROR(WriteEnded(id, ended, deadline_lease_ms, statements));
  return remove_statements_.BindText(1, id).Run();
}

Status Transactions::ForgetOldest() {
  const std::string id = *by_end_.front();
  Step& step = steps_.emplace_back(Step{Step::Kind::kForget, id, std::nullopt, {}});
  step.ended = TakeEnded(id, /*newest=*/false);
  ended_from_ = step.ended.number + 1;
  CountId(step.ended.owner, id, /*more=*/false);
  return remove_tx_.BindText(1, id).Run();
}

Status Transactions::BeginEntry(uint64_t lease_ms, uint64_t ttl_ms, uint64_t number) {
  lease_ms_ = lease_ms;
  for (size_t i = 0; i < kForgottenPerEntryMax && !by_end_.empty() &&
                     IsAsOldAs(ttl_ms, ended_.at(*by_end_.front()).ended_lease_ms, lease_ms);
       ++i) {
    RETURN_IF_ERROR(ForgetOldest());
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= lease_ms) {
    const std::string id = deadlines_.begin()->second;
    RETURN_IF_ERROR(Finish(id, TxState::kExpired, number, /*owner=*/""));
  }
  return OkStatus();
}

// ---- Batches ------------------------------------------------------------------------------------

void Transactions::BatchCommitted() {
  steps_.clear();
  saved_ended_from_ = ended_from_;
  shares_.Collect();
  ids_.Collect();
}

void Transactions::BatchUndone() {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) Undo(&*step);
  ended_from_ = saved_ended_from_;
  BatchCommitted();
}

void Transactions::Undo(Step* step) {
  switch (step->kind) {
    case Step::Kind::kForget:
      CountId(step->ended.owner, step->id, /*more=*/true);
      AddEnded(step->id, std::move(step->ended), /*newest=*/false);
      return;
    case Step::Kind::kStage:
    case Step::Kind::kFinish: break;
  }
  const std::string owner = step->kind == Step::Kind::kStage
                                ? TakePrepared(step->id).owner
                                : TakeEnded(step->id, /*newest=*/true).owner;
  if (step->prepared) {
    AddPrepared(*std::move(step->prepared));
  } else {
    CountId(owner, step->id, /*more=*/false);
  }
}

}  // namespace cairn::state_machine
