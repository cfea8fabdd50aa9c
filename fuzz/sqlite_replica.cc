#include "sqlite_replica.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "state_machine/sqlite/sqlite_state_machine.h"

namespace cairn::fuzz {
namespace {

using namespace state_machine;  // NOLINT: a file of one layer's tests

raft::Configuration Founding() {
  raft::Configuration config;
  config.voters.insert(MemberId(1));
  config.info[MemberId(1)] = {1, "localhost:1", 7};
  config.next_member_id = 2;
  return config;
}

class Database {
 public:
  explicit Database(const std::string& path) {
    CHECK(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
  }
  ~Database() { CHECK(sqlite3_close(db_) == SQLITE_OK); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Returns every row of a query, with types. The query must succeed.
  std::string Rows(const std::string& sql, const std::vector<std::string>& blobs = {}) {
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr) == SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
    for (size_t i = 0; i < blobs.size(); ++i) {
      sqlite3_bind_blob(stmt, static_cast<int>(i + 1), blobs[i].data(),
                        static_cast<int>(blobs[i].size()), SQLITE_TRANSIENT);
    }
    std::string out;
    int rc = SQLITE_ROW;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
        out += std::to_string(sqlite3_column_type(stmt, i)) + ":";
        const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt, i));
        if (bytes != nullptr) out.append(bytes, static_cast<size_t>(sqlite3_column_bytes(stmt, i)));
        out += "|";
      }
      out += "\n";
    }
    sqlite3_finalize(stmt);
    CHECK(rc == SQLITE_DONE) << sql << ": " << sqlite3_errmsg(db_);
    return out;
  }

  std::vector<std::string> TableNames() {
    std::vector<std::string> names;
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db_,
                             "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN"
                             " ('table', 'shadow') ORDER BY name",
                             -1, &stmt, nullptr) == SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      names.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0)));
    }
    sqlite3_finalize(stmt);
    return names;
  }

 private:
  sqlite3* db_ = nullptr;
};

std::string Quoted(const std::string& name) {
  std::string out = "\"";
  for (char c : name) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

}  // namespace

SqliteReplica::SqliteReplica(const std::string& name, const std::string& contents)
    : directory_("/dev/shm/cairn-fuzz-" + std::to_string(::getpid()) + "/" + name) {
  RemoveFiles();
  std::filesystem::create_directories(directory_);
  if (!contents.empty()) std::ofstream(path(), std::ios::binary) << contents;
}

SqliteReplica::~SqliteReplica() {
  Close();
  RemoveFiles();
}

void SqliteReplica::RemoveFiles() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  std::filesystem::remove(std::filesystem::path(directory_).parent_path(), ignored);
}

Status SqliteReplica::Open() {
  SqliteOptions options;
  options.path = path();
  options.snapshot_directory = directory_ + "/snapshot";
  options.readers_max = 1;
  ASSIGN_OR_RETURN(machine_, OpenSqliteStateMachine(options, Founding()));
  return OkStatus();
}

void SqliteReplica::MustOpen() {
  const Status status = Open();
  CHECK(status.ok()) << status.ToString();
}

Status SqliteReplica::Apply(std::span<const raft::Entry> entries,
                            std::vector<EntryResults>* results) {
  return machine_->Apply(entries, Founding(), LogIndex(),
                         [&](EntryResults each) { results->push_back(std::move(each)); });
}

std::string SqliteReplica::Contents() const {
  CHECK(machine_ == nullptr);
  std::ostringstream out;
  out << std::ifstream(path(), std::ios::binary).rdbuf();
  return out.str();
}

std::string SqliteReplica::Dump() const {
  CHECK(machine_ == nullptr);
  Database db(path());
  std::string out = db.Rows("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid");
  for (const std::string& name : db.TableNames()) {
    if (name == "sqlite_schema") continue;
    out += "== " + name + "\n" + db.Rows("SELECT * FROM main." + Quoted(name));
  }
  return out;
}

void SqliteReplica::Tamper(const std::string& sql, const std::vector<std::string>& blobs) {
  CHECK(machine_ == nullptr);
  Database(path()).Rows(sql, blobs);
}

raft::Entry EntryOf(LogIndex index, const BatchHeader& header,
                    const std::vector<Command>& commands) {
  std::vector<std::string> encoded;
  encoded.reserve(commands.size());
  for (const Command& command : commands) encoded.push_back(EncodeCommand(command));
  auto payload = std::make_shared<std::string>();
  EncodeBatch(header, encoded, payload.get());
  return {Term(1), index, raft::EntryType::kNormal, payload};
}

std::string Bytes(const std::vector<EntryResults>& results) {
  std::string out;
  for (const EntryResults& entry : results) {
    out += "entry " + ToString(entry.index) + "\n";
    for (const CommandResult& result : entry.results) out += EncodeCommandResult(result) + "\n";
  }
  return out;
}

}  // namespace cairn::fuzz
