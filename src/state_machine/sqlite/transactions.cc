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

std::string FirstCommon(const std::set<std::string>& a, const std::set<std::string>& b) {
  const auto it =
      std::find_if(a.begin(), a.end(), [&b](const std::string& name) { return b.contains(name); });
  return it == a.end() ? std::string() : *it;
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

const char* const Transactions::kSchema =
    "CREATE TABLE _cairn_tx(id TEXT PRIMARY KEY, owner TEXT NOT NULL, state INTEGER NOT NULL,"
    " number INTEGER NOT NULL,"
    " deadline_lease_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL, seed INTEGER NOT NULL,"
    " statements INTEGER NOT NULL, reads BLOB, writes BLOB, holds_all INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE _cairn_tx_statements(tx TEXT NOT NULL, place INTEGER NOT NULL,"
    " statement BLOB NOT NULL, PRIMARY KEY(tx, place)) WITHOUT ROWID";

const char* const kTransactionInfoSql =
    "SELECT state, statements, number, deadline_lease_ms FROM _cairn_tx WHERE id = ?1";

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
      " reads, writes, holds_all, owner) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"));
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
  txs_.clear();
  Index();
  changed_ = false;
}

Status Transactions::Load(sqlite3* db) {
  txs_.clear();
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db,
                               "SELECT id, state, number, deadline_lease_ms, wall_ms, seed,"
                               " reads, writes, holds_all, owner FROM _cairn_tx"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    PreparedTx tx;
    tx.id = std::string(read.Bytes(0));
    tx.state = static_cast<TxState>(read.Int(1));
    tx.number = read.Uint(2);
    tx.deadline_lease_ms = read.Uint(3);
    tx.wall_ms = read.Int(4);
    tx.seed = read.Uint(5);
    tx.holds_all = read.Int(8) != 0;
    tx.owner = std::string(read.Bytes(9));
    if (tx.state == TxState::kPrepared &&
        (!DecodeNames(read.Bytes(6), &tx.reads) || !DecodeNames(read.Bytes(7), &tx.writes))) {
      return DataLoss("_cairn_tx: the tables held by '" + tx.id + "' cannot be read");
    }
    txs_[tx.id] = std::move(tx);
  }
  RETURN_IF_ERROR(LoadStatements(db));
  Index();
  return OkStatus();
}

Status Transactions::LoadStatements(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT tx, statement FROM _cairn_tx_statements ORDER BY tx, place"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const auto it = txs_.find(std::string(read.Bytes(0)));
    if (it == txs_.end()) return DataLoss("_cairn_tx_statements: a statement of no transaction");
    Result<Statement> statement = DecodeStatement(read.Bytes(1));
    if (!statement.ok()) {
      return DataLoss("_cairn_tx_statements, of '" + it->first +
                      "': " + statement.status().message());
    }
    it->second.statements.push_back(*std::move(statement));
  }
}

void Transactions::Index() {
  deadlines_.clear();
  finished_.clear();
  finished_count_ = 0;
  shares_.Clear();
  for (const auto& [id, tx] : txs_) {
    if (tx.state == TxState::kPrepared) {
      deadlines_.emplace(tx.deadline_lease_ms, id);
      shares_.Add(shares_.Of(tx.owner), BytesOf(tx));
    } else {
      finished_[tx.number].insert(id);
      ++finished_count_;
    }
  }
}

Status Transactions::BatchUndone(sqlite3* db) {
  if (!changed_) return OkStatus();
  changed_ = false;
  return Load(db);
}

// ---- Questions ----------------------------------------------------------------------------------

const PreparedTx* Transactions::Find(const std::string& id) const {
  const auto it = txs_.find(id);
  return it == txs_.end() ? nullptr : &it->second;
}

std::optional<uint64_t> Transactions::NextDeadlineLeaseMs() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

Status Transactions::CheckConflicts(const ProgramFacts& facts, const std::string& tx_id) const {
  for (const auto& [deadline, id] : deadlines_) {
    if (id == tx_id) continue;
    const PreparedTx& tx = txs_.at(id);
    // Sequences belong to tables that may be held, but are not reported as theirs.
    if (tx.holds_all || facts.changes_schema || facts.writes_sequence) return Held("", tx);
    for (const auto* held : {&tx.reads, &tx.writes}) {
      const std::string table = FirstCommon(facts.writes, *held);
      if (!table.empty()) return Held(table, tx);
    }
    if (tx_id.empty()) continue;
    const std::string table = FirstCommon(facts.reads, tx.writes);
    if (!table.empty()) return Held(table, tx);
  }
  return OkStatus();
}

// ---- Changes ------------------------------------------------------------------------------------

Status Transactions::WriteTx(const PreparedTx& tx) {
  changed_ = true;
  const std::string reads = EncodeNames(tx.reads);
  const std::string writes = EncodeNames(tx.writes);
  return write_tx_.BindText(1, tx.id)
      .Bind(2, static_cast<int64_t>(tx.state))
      .Bind(3, tx.number)
      .Bind(4, tx.deadline_lease_ms)
      .Bind(5, tx.wall_ms)
      .Bind(6, tx.seed)
      .Bind(7, static_cast<uint64_t>(tx.statements.size()))
      .BindBlob(8, reads)
      .BindBlob(9, writes)
      .Bind(10, static_cast<int64_t>(tx.holds_all))
      .BindText(11, tx.owner)
      .Run();
}

Status Transactions::CheckRoom(const std::string& owner, const std::string& tx_id, uint64_t bytes) {
  const PreparedTx* const known = Find(tx_id);
  const uint64_t counted = known == nullptr ? 0 : BytesOf(*known);
  if (bytes <= counted || shares_.Fits(*shares_.Of(owner), bytes - counted)) return OkStatus();
  return ResourceExhausted(
             "no room for more prepared transactions: commit or roll back those that "
             "are prepared, or make this one smaller (all together hold " +
             std::to_string(kPreparedBytesMax >> 20) +
             " MiB, those of one client an eighth of that)")
      .With(Outcome::kNotApplied);
}

Status Transactions::Stage(PreparedTx tx) {
  const PreparedTx* const before = Find(tx.id);
  const size_t known = before == nullptr ? 0 : before->statements.size();
  CHECK(tx.statements.size() == known + 1) << "one statement is staged at a time";
  Shares::Client* const client = shares_.Of(tx.owner);
  if (before != nullptr) {
    deadlines_.erase({before->deadline_lease_ms, tx.id});
    shares_.Take(client, BytesOf(*before));
  }
  shares_.Add(client, BytesOf(tx));
  const std::string encoded = EncodeStatement(tx.statements.back());
  RETURN_IF_ERROR(WriteTx(tx));
  RETURN_IF_ERROR(write_statement_.BindText(1, tx.id)
                      .Bind(2, static_cast<uint64_t>(tx.statements.size()))
                      .BindBlob(3, encoded)
                      .Run());
  deadlines_.emplace(tx.deadline_lease_ms, tx.id);
  std::string id = tx.id;
  txs_.insert_or_assign(std::move(id), std::move(tx));
  return OkStatus();
}

Status Transactions::Finish(const std::string& id, TxState state, uint64_t number) {
  const auto [it, made] = txs_.try_emplace(id);
  PreparedTx& tx = it->second;
  if (!made) {
    deadlines_.erase({tx.deadline_lease_ms, id});
    shares_.Take(shares_.Of(tx.owner), BytesOf(tx));
  }
  PreparedTx finished;
  finished.id = id;
  finished.state = state;
  finished.number = number;
  finished.deadline_lease_ms = tx.deadline_lease_ms;
  // Their number is still told; their texts are no longer needed.
  finished.statements.resize(tx.statements.size());
  tx = std::move(finished);
  RETURN_IF_ERROR(WriteTx(tx));
  tx.statements.clear();
  RETURN_IF_ERROR(remove_statements_.BindText(1, id).Run());
  finished_[number].insert(id);
  ++finished_count_;
  return ForgetOldest();
}

Status Transactions::ForgetOldest() {
  while (finished_count_ > kFinishedMax) {
    const auto oldest = finished_.begin();
    const std::string id = *oldest->second.begin();
    oldest->second.erase(oldest->second.begin());
    if (oldest->second.empty()) finished_.erase(oldest);
    --finished_count_;
    txs_.erase(id);
    RETURN_IF_ERROR(remove_tx_.BindText(1, id).Run());
  }
  return OkStatus();
}

Status Transactions::Expire(uint64_t lease_ms, uint64_t number) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= lease_ms) {
    const std::string id = deadlines_.begin()->second;
    RETURN_IF_ERROR(Finish(id, TxState::kExpired, number));
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
