#include "state_machine/sqlite/delegated_functions.h"

#include "base/check.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

// SQLite's mark on the results of its JSON functions.
constexpr unsigned kJsonSubtype = 'J';

bool HasBytes(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  return type == SQLITE_TEXT || type == SQLITE_BLOB;
}

}  // namespace

DelegatedFunctions::~DelegatedFunctions() {
  functions_.clear();
  const int rc = sqlite3_close(connection_);
  CHECK(rc == SQLITE_OK) << "a statement outlived its function: " << rc;
}

Status DelegatedFunctions::Open(const char* vfs) {
  sqlite3* opened = nullptr;
  int rc = sqlite3_open_v2(":memory:", &opened,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, vfs);
  if (rc == SQLITE_OK) {
    sqlite3_extended_result_codes(opened, 1);
    sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, kValueBytesMax);
    rc = sqlite3_create_function_v2(opened, "mark_json", 2, SQLITE_UTF8, this, &MarkJson, nullptr,
                                    nullptr, nullptr);
  }
  if (rc != SQLITE_OK) {
    Status status = SqliteTrouble(opened, rc, "open");
    sqlite3_close(opened);
    return status;
  }
  connection_ = opened;
  return OkStatus();
}

DelegatedFunctions::Function* DelegatedFunctions::Add(std::string name) {
  functions_.push_back(std::make_unique<Function>(Function{this, std::move(name)}));
  return functions_.back().get();
}

// SQLite marks JSON beside the value. Binding the value loses the mark.
void DelegatedFunctions::MarkJson(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  const auto* const self = static_cast<const DelegatedFunctions*>(sqlite3_user_data(context));
  sqlite3_result_value(context, argv[0]);
  if (self->is_json_[static_cast<size_t>(sqlite3_value_int(argv[1]))]) {
    sqlite3_result_subtype(context, kJsonSubtype);
  }
}

sqlite3_stmt* DelegatedFunctions::StatementFor(Function* function, int argc, sqlite3_value** argv) {
  bool any_json = false;
  is_json_.assign(static_cast<size_t>(argc), false);
  for (int i = 0; i < argc; ++i) {
    const bool is_json = HasBytes(argv[i]) && sqlite3_value_subtype(argv[i]) == kJsonSubtype;
    is_json_[static_cast<size_t>(i)] = is_json;
    any_json = any_json || is_json;
  }
  const auto it = function->statements.find({argc, any_json});
  if (it != function->statements.end()) return it->second.get();
  // Statements for each number of arguments of each function would fill the memory.
  if (statements_ >= kDelegateStatementsMax) {
    for (const auto& each : functions_) each->statements.clear();
    statements_ = 0;
  }
  const bool is_operator = function->name.starts_with("-");
  std::string sql = "SELECT " + (is_operator ? std::string() : function->name + "(");
  for (int i = 0; i < argc; ++i) {
    if (i > 0) sql += is_operator ? function->name : std::string(",");
    const std::string parameter = "?" + std::to_string(i + 1);
    sql += any_json ? "mark_json(" + parameter + "," + std::to_string(i) + ")" : parameter;
  }
  if (!is_operator) sql += ")";
  sqlite3_stmt* stmt = nullptr;
  sqlite3_prepare_v3(connection_, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (stmt == nullptr) return nullptr;
  function->statements.emplace(std::pair(argc, any_json), StatementPtr(stmt));
  ++statements_;
  return stmt;
}

void DelegatedFunctions::Call(Function* function, sqlite3_context* context, int argc,
                              sqlite3_value** argv, const Allow& allow) {
  if (connection_ == nullptr && !Open(vfs_).ok()) return sqlite3_result_error_nomem(context);
  sqlite3_stmt* const stmt = StatementFor(function, argc, argv);
  int rc = stmt == nullptr ? sqlite3_errcode(connection_) : SQLITE_OK;
  for (int i = 0; rc == SQLITE_OK && i < argc; ++i) rc = sqlite3_bind_value(stmt, i + 1, argv[i]);
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) {
    sqlite3_value* const result = sqlite3_column_value(stmt, 0);
    if (allow(result)) sqlite3_result_value(context, result);
  } else {
    FailAsDelegate(context, connection_, rc);
  }
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
}

}  // namespace cairn::state_machine
