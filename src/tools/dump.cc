#include "tools/dump.h"

#include <algorithm>
#include <utility>

#include "base/sql_name.h"
#include "rpc/proto_convert.h"
#include "tools/result_printer.h"
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
        return OkStatus();
      }
      CreateUpTo(static_cast<size_t>(*place) + 1);
      dumper_.WriteRow(static_cast<size_t>(*place), row);
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
            "t.name = s.name AND t.schema = 'main' WHERE s.type = 'table' AND t.type <> 'shadow' "
            "AND "
            "s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'" +
            std::string(kNoRollup) + Filter("s.name") + " ORDER BY s.rowid"));
    for (const Row& row : tables) {
      Table table;
      table.name = TextAt(row, 0);
      table.sql = TextAt(row, 1);
      RETURN_IF_ERROR(ReadColumns(&table));
      if (TextAt(row, 2) == "virtual") {
        table.kind = DescribeVirtualTable(table.sql);
        table.lists_columns = true;
        if (!table.kind.rowid.empty()) {
          table.columns.insert(table.columns.begin(), table.kind.rowid);
        }
      }
      plan_.tables.push_back(std::move(table));
    }
    ASSIGN_OR_RETURN(const std::vector<Row> others,
                     Ask("SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index', "
                         "'trigger', 'view')" +
                         Filter("tbl_name") + " ORDER BY rowid"));
    for (const Row& row : others) plan_.others.push_back(TextAt(row, 0));
    ASSIGN_OR_RETURN(const std::vector<Row> sequence,
                     Ask("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"));
    plan_.has_sequence = patterns_.empty() && !sequence.empty();
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

  // One query reads all tables, so that all rows are of one moment.
  std::string QueryOfRows() const {
    size_t width = 2;
    for (const Table& table : plan_.tables) width = std::max(width, table.columns.size());
    std::vector<std::string> parts = {Part(-1, {kSchemaText}, "", width)};
    for (size_t i = 0; i < plan_.tables.size(); ++i) {
      const Table& table = plan_.tables[i];
      if (!table.kind.has_rows) continue;
      std::vector<std::string> columns;
      for (const std::string& name : table.columns) columns.push_back(QuotedName(name));
      parts.push_back(Part(static_cast<int64_t>(i), columns, QuotedName(table.name), width));
    }
    if (plan_.has_sequence) {
      parts.push_back(Part(static_cast<int64_t>(plan_.tables.size()), {"name", "seq"},
                           "sqlite_sequence", width));
    }
    return Compound(parts);
  }

  static std::string Part(int64_t place, const std::vector<std::string>& columns,
                          const std::string& table, size_t width) {
    std::string sql = "SELECT " + std::to_string(place);
    for (const std::string& column : columns) sql += "," + column;
    for (size_t i = columns.size(); i < width; ++i) sql += ",NULL";
    return table.empty() ? sql : sql + " FROM " + table;
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

  void WriteRow(size_t place, const Row& row) {
    if (place == plan_.tables.size()) {
      if (sequences_++ == 0) out_ << "DELETE FROM sqlite_sequence;\n";
      WriteValues("sqlite_sequence", row, 2);
      return;
    }
    const Table& table = plan_.tables[place];
    std::string into = NameText(table.name);
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

  Status WriteEnd() {
    for (const Table& table : plan_.tables) {
      if (!table.kind.rebuilds) continue;
      const std::string name = NameText(table.name);
      out_ << "INSERT INTO " << name << "(" << name << ") VALUES('rebuild');\n";
    }
    for (const std::string& sql : plan_.others) out_ << sql << ";\n";
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
  return Dumper(node, patterns, timeout, out).Run();
}

}  // namespace cairn::tools
