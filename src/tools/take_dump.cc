// Takes SQL text into a local database.
#include <algorithm>
#include <cctype>
#include <utility>

#include "base/sql_name.h"
#include "rpc/proto_convert.h"
#include "tools/load_sources.h"
#include "tools/result_printer.h"
#include "tools/sql_literal.h"
#include "tools/sql_text.h"

namespace cairn::tools {
namespace {

// Of a statement in an error.
constexpr size_t kShownBytes = 200;
constexpr size_t kDropsMax = 1000;

// Finds the lines that end a statement, in time linear in the text.
class StatementEnd {
 public:
  // Takes the next line of the statement. True: a semicolon outside of quotes and comments ends it.
  bool Take(std::string_view line) {
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      const char next = i + 1 < line.size() ? line[i + 1] : '\0';
      if (within_ == '*') {
        if (c == '*' && next == '/') within_ = '\0', ++i;
      } else if (within_ != '\0') {
        if (c == within_) within_ = '\0';
      } else if (c == '-' && next == '-') {
        break;
      } else if (c == '/' && next == '*') {
        within_ = '*';
        ++i;
      } else if (c == '\'' || c == '"' || c == '`' || c == '[') {
        within_ = c == '[' ? ']' : c;
        last_ = c;
      } else if (std::isspace(static_cast<unsigned char>(c)) == 0) {
        last_ = c;
      }
    }
    return within_ == '\0' && last_ == ';';
  }
  bool empty() const { return last_ == '\0' && within_ == '\0'; }
  void Begin() { within_ = last_ = '\0'; }

 private:
  char within_ = '\0';  // the character that ends a quote; * in a comment
  char last_ = '\0';    // the last one that is neither space nor comment
};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

class DumpTaker {
 public:
  DumpTaker(LoadSource* source, LocalDatabase* local) : source_(*source), local_(*local) {}

  Status Run() {
    local_.Guard(&source_.existing);
    RETURN_IF_ERROR(local_.Exec("BEGIN"));
    std::string line;
    size_t number = 0;
    uint64_t bytes = 0;
    for (;;) {
      const LineRead read = ReadLine(source_.in, kLineBytesMax, &line);
      if (read == LineRead::kEnd) break;
      ++number;
      // Some editors write this at the start of a file.
      if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
      bytes += line.size() + 1;
      if (number % 1024 == 0 && source_.on_progress) source_.on_progress(bytes);
      if (end_.empty()) {
        text_.clear();
        line_ = number;
      }
      // SQLite takes a NUL for the end of the text, and would run only what stands before it.
      if (line.find('\0') != std::string::npos) {
        line_ = number;
        return At("the line has a NUL byte; a text with one is written CAST(x'...' AS TEXT)", line);
      }
      text_ += line;
      text_ += '\n';
      if (read == LineRead::kTooLong || text_.size() > kLineBytesMax) {
        return At("a statement is longer than 64 MiB", text_);
      }
      // Within a trigger a semicolon ends nothing.
      if (!end_.Take(line) || sqlite3_complete(text_.c_str()) == 0) continue;
      RETURN_IF_ERROR(RunText());
      end_.Begin();
    }
    if (!end_.empty()) {
      return At("the input is cut off within this statement: no semicolon ends it", text_);
    }
    if (in_transaction_) {
      return InvalidArgument(source_.name + ": the input is cut off: the BEGIN in line " +
                             std::to_string(begin_line_) + " has no COMMIT");
    }
    local_.EndGuard();
    RETURN_IF_ERROR(CheckTemporary());
    return local_.Exec("COMMIT; PRAGMA writable_schema = RESET");
  }

 private:
  Status At(const std::string& what, std::string_view sql) const {
    std::string shown(sql.substr(0, kShownBytes));
    while (!shown.empty() && std::isspace(static_cast<unsigned char>(shown.back())) != 0) {
      shown.pop_back();
    }
    return InvalidArgument(source_.name + ":" + std::to_string(line_) + ": " + what +
                           "\n  in: " + rpc::Utf8OrQuestionMarks(shown) +
                           (sql.size() > kShownBytes ? "..." : ""));
  }

  Status RunText() {
    if (!rpc::IsUtf8(text_)) return At("the statement is not valid UTF-8", text_);
    const char* rest = text_.c_str();
    while (*rest != '\0') {
      const char* tail = rest;
      sqlite3_stmt* stmt = nullptr;
      int rc = sqlite3_prepare_v2(local_.handle(), rest, -1, &stmt, &tail);
      if (rc == SQLITE_ERROR) {
        ASSIGN_OR_RETURN(const bool found, FindMissingTable());
        if (found) rc = sqlite3_prepare_v2(local_.handle(), rest, -1, &stmt, &tail);
      }
      const std::string_view sql(rest, static_cast<size_t>(tail - rest));
      if (rc != SQLITE_OK) return At(WhyNot(rc), sql.empty() ? std::string_view(rest) : sql);
      rest = tail;
      if (stmt == nullptr) continue;  // a comment
      const Status done = RunStatement(stmt, sql);
      sqlite3_finalize(stmt);
      RETURN_IF_ERROR(done);
    }
    return OkStatus();
  }

  // A TEMP table serves a migration, which drops it. What is left would not be in the cluster.
  Status CheckTemporary() const {
    ASSIGN_OR_RETURN(const std::vector<Row> left,
                     local_.All("SELECT name FROM sqlite_temp_schema WHERE type = 'table' AND name "
                                "NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"));
    if (left.empty()) return OkStatus();
    return InvalidArgument(source_.name + ": the TEMP table " + PlainText(left[0].at(0)) +
                           " is not dropped, and nothing of it would be in the cluster");
  }

  std::string WhyNot(int rc) const {
    if ((rc & 0xff) == SQLITE_AUTH) return local_.refusal();
    std::string message = local_.Error().message();
    if (message.starts_with("cannot INSERT into generated column")) {
      message +=
          ": a row for a table that the cluster has gets its rowid there; if it must have "
          "this one, use `cairn shell`";
    }
    return message;
  }

  // "no such table: t" about a table of the cluster.
  Result<bool> FindMissingTable() {
    static constexpr std::string_view kMissing = "no such table: ";
    const std::string message = sqlite3_errmsg(local_.handle());
    if (!message.starts_with(kMissing) || !source_.find_existing) return false;
    std::string table = message.substr(kMissing.size());
    if (table.starts_with("main.")) table = table.substr(5);
    ASSIGN_OR_RETURN(const auto columns, source_.find_existing(table));
    if (!columns.has_value()) return false;
    std::string sql = "CREATE TABLE " + QuotedName(table) + "(";
    std::set<std::string> names;
    for (size_t i = 0; i < columns->size(); ++i) {
      const auto& column = (*columns)[i];
      names.insert(Lower(column.name));
      sql += (i == 0 ? "" : ",") + QuotedName(column.name);
      if (!column.default_sql.empty()) sql += " DEFAULT (" + column.default_sql + ")";
    }
    // A row cannot bring its rowid: the rowid here says nothing about the one in the cluster. No
    // statement inserts into a generated column.
    for (const char* const name : {"rowid", "_rowid_", "oid"}) {
      if (!names.contains(name)) sql += "," + QuotedName(name) + " AS (NULL)";
    }
    RETURN_IF_ERROR(local_.Exec(sql + ")"));
    source_.existing.insert(Lower(table));
    return true;
  }

  Status RunStatement(sqlite3_stmt* stmt, std::string_view sql) {
    const std::vector<std::string> words = FirstWords(sql, 3);
    const std::string& verb = words.empty() ? std::string() : words[0];
    if (verb == "BEGIN") {
      in_transaction_ = true;
      begin_line_ = line_;
      return OkStatus();
    }
    if (verb == "COMMIT" || verb == "END") {
      in_transaction_ = false;
      return OkStatus();
    }
    if (verb == "ROLLBACK") {
      const bool is_part = std::find(words.begin(), words.end(), "TO") != words.end();
      return At(is_part ? "a load does not take ROLLBACK TO: leave out what it undoes"
                        : "the input undoes itself: the dump ended in an error",
                sql);
    }
    if (verb == "PRAGMA" && !IsKeptPragma(words)) return OkStatus();
    if (verb == "ANALYZE") return MakeStatistics();
    if (verb == "VACUUM") return OkStatus();
    const bool resolves = verb == "REPLACE" || (words.size() > 2 && words[1] == "OR");
    if (resolves && !source_.existing.empty()) {
      return At("INSERT OR ... into a table that the cluster has: use `cairn shell`", sql);
    }
    if (verb == "DROP") NoteDrop(sql);
    int rc = SQLITE_ROW;
    while (rc == SQLITE_ROW) rc = sqlite3_step(stmt);
    return rc == SQLITE_DONE ? OkStatus() : At(local_.Error().message(), sql);
  }

  // DROP TABLE IF EXISTS of a table that is not here does nothing. The cluster may have the table.
  void NoteDrop(std::string_view sql) {
    const std::vector<std::string> words = FirstWords(sql, 4);
    if (words.size() < 4 || words[1] != "TABLE" || words[2] != "IF") return;
    for (size_t i = 0; i < words.size(); ++i) TakeToken(&sql);
    const std::string name = UnquotedName(TakeToken(&sql));
    if (source_.drops.size() < kDropsMax) source_.drops.insert(name);
  }

  // A dump writes rows into the tables that its ANALYZE makes. They are not loaded: statistics here
  // are not those of the cluster. Some builds of SQLite have a table that this one does not make.
  Status MakeStatistics() {
    RETURN_IF_ERROR(local_.Exec("ANALYZE sqlite_schema"));
    ASSIGN_OR_RETURN(const std::vector<Row> may_write, local_.All("PRAGMA writable_schema"));
    const bool was_off = may_write.at(0).at(0) == Value(int64_t{0});
    if (was_off) RETURN_IF_ERROR(local_.Exec("PRAGMA writable_schema = ON"));
    const Status made = local_.Exec(
        "CREATE TABLE IF NOT EXISTS sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample);"
        "CREATE TABLE IF NOT EXISTS sqlite_stat3(tbl,idx,neq,nlt,ndlt,sample)");
    if (was_off) RETURN_IF_ERROR(local_.Exec("PRAGMA writable_schema = OFF"));
    return made;
  }

  static bool IsKeptPragma(const std::vector<std::string>& words) {
    return words.size() > 1 && (words[1] == "WRITABLE_SCHEMA" || words[1] == "USER_VERSION" ||
                                words[1] == "APPLICATION_ID");
  }

  LoadSource& source_;
  LocalDatabase& local_;
  StatementEnd end_;
  std::string text_;
  size_t line_ = 0;  // of text_
  bool in_transaction_ = false;
  size_t begin_line_ = 0;
};

}  // namespace

LineRead ReadLine(std::istream* in, size_t bytes_max, std::string* line) {
  constexpr int kEof = std::char_traits<char>::eof();
  std::streambuf& bytes = *in->rdbuf();
  line->clear();
  for (;;) {
    const int c = bytes.sbumpc();
    if (c == '\n') return LineRead::kLine;
    if (c == kEof) return line->empty() ? LineRead::kEnd : LineRead::kLine;
    if (line->size() == bytes_max) return LineRead::kTooLong;
    line->push_back(static_cast<char>(c));
  }
}

Status TakeDump(LoadSource* source, LocalDatabase* local) { return DumpTaker(source, local).Run(); }

}  // namespace cairn::tools
