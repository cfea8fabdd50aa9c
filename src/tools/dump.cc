#include "tools/dump.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "base/sql_name.h"
#include "tools/load_plan.h"
#include "tools/result_printer.h"
#include "tools/spooled_output.h"
#include "tools/sql_literal.h"
#include "tools/virtual_table.h"

namespace cairn::tools {
namespace {

using Timeout = std::chrono::milliseconds;

// A compound SELECT of SQLite has at most 500 parts.
constexpr size_t kPartsMax = 400;
// How often the schema may change between the two queries.
constexpr int kTriesMax = 5;

// One text that changes whenever the schema does.
constexpr const char* kSchemaText =
    "(SELECT group_concat(type || char(31) || name || char(31) || coalesce(sql, ''), char(30)) "
    "FROM "
    "(SELECT type, name, sql FROM sqlite_schema ORDER BY rowid))";
constexpr const char* kUserVersion = "(SELECT user_version FROM pragma_user_version)";
constexpr const char* kApplicationId = "(SELECT application_id FROM pragma_application_id)";

struct Table {
  std::string name;
  std::string sql;
  std::vector<std::string> columns;  // that are written
  bool lists_columns = false;        // INSERT names them
  VirtualTable kind;                 // of a virtual table
};

class RowsSink final : public ResultSink {
 public:
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(const Row& row) override {
    rows.push_back(row);
    return OkStatus();
  }
  std::vector<Row> rows;
};

std::string TextAt(const Row& row, size_t column) {
  return column < row.size() ? PlainText(row[column]) : "";
}

// What is dumped, as of the first query.
struct Plan {
  std::string schema;
  std::vector<Table> tables;
  std::vector<std::string> others;  // CREATE INDEX, VIEW and TRIGGER
  bool has_sequence = false;
};

// A part of the one query, which it numbers.
struct Part {
  enum class Kind { kRows, kSettings, kSequences } kind = Kind::kRows;
  size_t table = 0;  // all tables up to this one are created before its rows
  std::vector<std::string> columns;
  std::string from;
};

class Dumper {
 public:
  Dumper(NodeClient* node, const std::vector<std::string>& patterns, Timeout timeout,
         std::ostream* out)
      : node_(node), patterns_(patterns), timeout_(timeout), out_(*out) {}

  Status Run() {
    for (int tries = 1;; ++tries) {
      RETURN_IF_ERROR(MakePlan());
      changed_ = false;
      RowsWriter writer(this);
      const Status status =
          node_->Query({QueryOfRows(), {}, {}}, v1::ReadOptions(), timeout_, &writer);
      if (changed_ && tries < kTriesMax) continue;
      if (status.ok()) return writer.Finish();
      if (writer.begun()) out_ << "ROLLBACK; -- the dump ended early\n";
      return status;
    }
  }

 private:
  // Takes the rows of the one query: a number of a table, and the columns of its row.
  class RowsWriter final : public ResultSink {
   public:
    explicit RowsWriter(Dumper* dumper) : dumper_(*dumper) {}
    Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
    Status OnRow(const Row& row) override {
      const auto* const place = row.empty() ? nullptr : std::get_if<int64_t>(&row[0]);
      if (place == nullptr) return Internal("a row of the dump has no place");
      if (*place < 0) {
        dumper_.changed_ = TextAt(row, 1) != dumper_.plan_.schema;
        if (dumper_.changed_) return Aborted("the schema changes too often: try again");
        Begin();
        dumper_.user_version_ = TextAt(row, 2);
        dumper_.application_id_ = TextAt(row, 3);
        return OkStatus();
      }
      const Part& part = dumper_.parts_.at(static_cast<size_t>(*place));
      CreateUpTo(part.table + 1);
      dumper_.WriteRow(part, row);
      return dumper_.out_ ? OkStatus() : Unavailable("the dump cannot be written");
    }
    bool begun() const { return begun_; }
    Status Finish() {
      CreateUpTo(dumper_.plan_.tables.size());
      return dumper_.WriteEnd();
    }

   private:
    void Begin() {
      begun_ = true;
      dumper_.out_ << "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n";
    }
    void CreateUpTo(size_t end) {
      for (; created_ < end && created_ < dumper_.plan_.tables.size(); ++created_) {
        const Table& table = dumper_.plan_.tables[created_];
        dumper_.out_ << table.sql << ";\n";
        if (table.kind.without_content) dumper_.out_ << "-- its entries are left out\n";
      }
    }

    Dumper& dumper_;
    bool begun_ = false;
    size_t created_ = 0;
  };

  Status MakePlan() {
    plan_ = Plan();
    ASSIGN_OR_RETURN(const std::vector<Row> schema, Ask(std::string("SELECT ") + kSchemaText));
    plan_.schema = TextAt(schema.at(0), 0);
    ASSIGN_OR_RETURN(
        const std::vector<Row> tables,
        Ask("SELECT s.name, s.sql, t.type FROM sqlite_schema AS s JOIN pragma_table_list AS t ON "
            "t.name = s.name AND t.schema = 'main' WHERE s.type = 'table' AND s.name NOT LIKE "
            "'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid"));
    ShadowTables shadows;
    for (const Row& row : tables) {
      if (TextAt(row, 2) == "virtual") shadows.AddVirtual(TextAt(row, 0), TextAt(row, 1));
    }
    ASSIGN_OR_RETURN(const std::set<std::string> chosen, Chosen());
    std::set<std::string> left_out;
    for (const Row& row : tables) {
      const std::string name = TextAt(row, 0);
      const bool is_shadow = TextAt(row, 2) == "shadow" && shadows.IsOwned(name);
      const bool is_rollup = TextAt(row, 2) == "virtual" && IsRollup(TextAt(row, 1));
      if (is_shadow || is_rollup || IsOfALoad(name, TextAt(row, 1))) {
        left_out.insert(name);
      } else if (chosen.contains(name)) {
        RETURN_IF_ERROR(AddTable(name, TextAt(row, 1), TextAt(row, 2) == "virtual"));
      }
    }
    ASSIGN_OR_RETURN(const std::vector<Row> others,
                     Ask("SELECT sql, tbl_name FROM sqlite_schema WHERE sql NOT NULL AND type IN "
                         "('index', 'trigger', 'view')" +
                         Filter("tbl_name") + " ORDER BY rowid"));
    for (const Row& row : others) {
      if (!left_out.contains(TextAt(row, 1))) plan_.others.push_back(TextAt(row, 0));
    }
    ASSIGN_OR_RETURN(const std::vector<Row> sequence,
                     Ask("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"));
    plan_.has_sequence = patterns_.empty() && !sequence.empty();
    MakeParts();
    return OkStatus();
  }

  // The tables that the patterns name.
  Result<std::set<std::string>> Chosen() {
    ASSIGN_OR_RETURN(const std::vector<Row> rows,
                     Ask("SELECT name FROM sqlite_schema WHERE type = 'table'" + Filter("name")));
    std::set<std::string> names;
    for (const Row& row : rows) names.insert(TextAt(row, 0));
    return names;
  }

  Status AddTable(const std::string& name, const std::string& sql, bool is_virtual) {
    Table table;
    table.name = name;
    table.sql = sql;
    RETURN_IF_ERROR(ReadColumns(&table));
    if (is_virtual) {
      ASSIGN_OR_RETURN(table.kind, DescribeVirtualTable(table.sql));
      table.lists_columns = true;
      const std::vector<std::string>& more = table.kind.more_columns;
      table.columns.insert(table.columns.begin(), more.begin(), more.end());
    }
    plan_.tables.push_back(std::move(table));
    return OkStatus();
  }

  Status ReadColumns(Table* table) {
    ASSIGN_OR_RETURN(const std::vector<Row> columns,
                     Ask("SELECT name, hidden FROM pragma_table_xinfo(" + LiteralText(table->name) +
                         ") ORDER BY cid"));
    for (const Row& row : columns) {
      const bool is_written = TextAt(row, 1) == "0";
      if (is_written) table->columns.push_back(TextAt(row, 0));
      table->lists_columns = table->lists_columns || !is_written;
    }
    return OkStatus();
  }

  std::string Filter(const std::string& column) const {
    std::string sql = " AND " + column + " NOT LIKE '\\_cairn\\_%' ESCAPE '\\'";
    for (size_t i = 0; i < patterns_.size(); ++i) {
      sql += (i == 0 ? " AND (" : " OR ") + column + " LIKE " + LiteralText(patterns_[i]);
    }
    return patterns_.empty() ? sql : sql + ")";
  }

  Result<std::vector<Row>> Ask(const std::string& sql) {
    return ReadAll(node_, {sql, {}, {}}, timeout_);
  }

  void MakeParts() {
    parts_.clear();
    for (size_t i = 0; i < plan_.tables.size(); ++i) {
      const Table& table = plan_.tables[i];
      if (table.kind.is_fts5) {
        parts_.push_back(
            {Part::Kind::kSettings, i, {"k", "v"}, "(" + SettingsOfFts5(table.name) + ")"});
      }
      if (!table.kind.has_rows) continue;
      std::vector<std::string> columns;
      for (const std::string& name : table.columns) columns.push_back(QuotedName(name));
      parts_.push_back({Part::Kind::kRows, i, std::move(columns), QuotedName(table.name)});
    }
    if (plan_.has_sequence) {
      parts_.push_back(
          {Part::Kind::kSequences, plan_.tables.size(), {"name", "seq"}, "sqlite_sequence"});
    }
  }

  // One query reads all tables, so that all rows are of one moment.
  std::string QueryOfRows() const {
    const std::vector<std::string> first = {kSchemaText, kUserVersion, kApplicationId};
    size_t width = first.size();
    for (const Part& part : parts_) width = std::max(width, part.columns.size());
    std::vector<std::string> selects = {Select(-1, first, "", width)};
    for (size_t i = 0; i < parts_.size(); ++i) {
      selects.push_back(Select(static_cast<int64_t>(i), parts_[i].columns, parts_[i].from, width));
    }
    return Compound(selects);
  }

  static std::string Select(int64_t place, const std::vector<std::string>& columns,
                            const std::string& from, size_t width) {
    std::string sql = "SELECT " + std::to_string(place);
    for (const std::string& column : columns) sql += "," + column;
    for (size_t i = columns.size(); i < width; ++i) sql += ",NULL";
    return from.empty() ? sql : sql + " FROM " + from;
  }

  // UNION ALL of all parts, in their order.
  static std::string Compound(const std::vector<std::string>& parts) {
    std::vector<std::string> groups;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (i % kPartsMax == 0) groups.emplace_back();
      groups.back() += (i % kPartsMax == 0 ? "" : " UNION ALL ") + parts[i];
    }
    if (groups.size() == 1) return groups[0];
    std::string sql;
    for (const std::string& group : groups) {
      sql += (sql.empty() ? "" : " UNION ALL ") + ("SELECT * FROM (" + group + ")");
    }
    return sql;
  }

  void WriteRow(const Part& part, const Row& row) {
    if (part.kind == Part::Kind::kSequences) {
      if (sequences_++ == 0) out_ << "DELETE FROM sqlite_sequence;\n";
      WriteValues("sqlite_sequence", row, 2);
      return;
    }
    const Table& table = plan_.tables[part.table];
    const std::string name = NameText(table.name);
    if (part.kind == Part::Kind::kSettings) {
      WriteValues(name + "(" + name + ",rank)", row, 2);
      return;
    }
    std::string into = name;
    for (size_t i = 0; table.lists_columns && i < table.columns.size(); ++i) {
      into += (i == 0 ? "(" : ",") + NameText(table.columns[i]);
    }
    WriteValues(table.lists_columns ? into + ")" : into, row, table.columns.size());
  }

  void WriteValues(const std::string& into, const Row& row, size_t columns) {
    out_ << "INSERT INTO " << into << " VALUES(";
    for (size_t i = 1; i <= columns && i < row.size(); ++i) {
      out_ << (i == 1 ? "" : ",") << LiteralText(row[i]);
    }
    out_ << ");\n";
  }

  void WritePragma(const std::string& name, const std::string& value) {
    if (!patterns_.empty() || value == "0") return;
    out_ << "PRAGMA " << name << "=" << value << ";\n";
  }

  Status WriteEnd() {
    for (const Table& table : plan_.tables) {
      if (!table.kind.rebuilds) continue;
      const std::string name = NameText(table.name);
      out_ << "INSERT INTO " << name << "(" << name << ") VALUES('rebuild');\n";
    }
    for (const std::string& sql : plan_.others) out_ << sql << ";\n";
    WritePragma("user_version", user_version_);
    WritePragma("application_id", application_id_);
    out_ << "COMMIT;\n";
    std::string left_out;
    for (const Table& table : plan_.tables) {
      if (table.kind.without_content) left_out += (left_out.empty() ? "" : ", ") + table.name;
    }
    if (left_out.empty()) return OkStatus();
    return FailedPrecondition("the dump leaves out " + left_out +
                              ": a full-text table without content cannot be read back");
  }

  NodeClient* const node_;
  const std::vector<std::string>& patterns_;
  const Timeout timeout_;
  std::ostream& out_;
  Plan plan_;
  std::vector<Part> parts_;
  std::string user_version_;
  std::string application_id_;
  bool changed_ = false;
  size_t sequences_ = 0;
};

}  // namespace

Result<std::vector<Row>> ReadAll(NodeClient* node, Statement statement, Timeout timeout) {
  RowsSink sink;
  RETURN_IF_ERROR(node->Query(std::move(statement), v1::ReadOptions(), timeout, &sink));
  return std::move(sink.rows);
}

Status DumpSql(NodeClient* node, const std::vector<std::string>& patterns, Timeout timeout,
               std::ostream* out) {
  ASSIGN_OR_RETURN(const std::unique_ptr<SpooledOutput> spool, SpooledOutput::New(out));
  std::ostream spooled(spool.get());
  const Status dumped = Dumper(node, patterns, timeout, &spooled).Run();
  const Status written = spool->Finish();
  return written.ok() ? dumped : written;
}

}  // namespace cairn::tools
