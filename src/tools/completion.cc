#include "tools/completion.h"

#include <sqlite3.h>

#include <algorithm>
#include <cctype>

#include "tools/dump.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

// How long a person may wait after Tab.
constexpr std::chrono::milliseconds kAskTimeout{1000};
constexpr std::chrono::seconds kAskAgain{5};
constexpr size_t kChoicesMax = 200;

constexpr const char* kDotCommands[] = {
    ".dump",      ".headers", ".help",      ".import", ".indexes", ".maintenance",
    ".mode",      ".nodes",   ".parameter", ".quit",   ".read",    ".schema",
    ".separator", ".slices",  ".status",    ".tables", ".timer",
};

constexpr const char* kNames =
    "SELECT name FROM sqlite_schema WHERE name NOT LIKE '\\_cairn\\_%' ESCAPE '\\' UNION SELECT "
    "x.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS x WHERE s.type IN ('table', "
    "'view') AND s.name NOT LIKE '\\_cairn\\_%' ESCAPE '\\' LIMIT 20000";

bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool Begins(const std::string& word, const std::string& prefix) {
  return word.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), word.begin(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) ==
                  std::tolower(static_cast<unsigned char>(b));
         });
}

}  // namespace

Completion CompletionOf(
    const std::string& before,
    const std::function<std::vector<std::string>(const std::string& line)>& words) {
  size_t begin = before.size();
  while (begin > 0 && IsWordChar(before[begin - 1])) --begin;
  // The column of table.column is completed; a dot command begins its line.
  const bool at_start = before.find_first_not_of(" \t") == begin;
  const size_t dot = before.rfind('.');
  if (dot != std::string::npos && dot >= begin && !at_start) begin = dot + 1;
  const std::string prefix = before.substr(begin);
  Completion out;
  if (prefix.empty()) return out;
  for (const std::string& word : words(before.substr(0, begin))) {
    if (Begins(word, prefix)) out.choices.push_back(word);
  }
  std::sort(out.choices.begin(), out.choices.end());
  out.choices.erase(std::unique(out.choices.begin(), out.choices.end()), out.choices.end());
  if (out.choices.empty()) return out;
  std::string common = out.choices.front();
  for (const std::string& choice : out.choices) {
    while (!Begins(choice, common)) common.pop_back();
  }
  out.insert = common.substr(prefix.size());
  if (out.choices.size() == 1) out.insert += ' ';
  if (out.choices.size() > kChoicesMax) out.choices.resize(kChoicesMax);
  return out;
}

std::vector<std::string> ShellWords::Of(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) {
    std::vector<std::string> words(std::begin(kDotCommands), std::end(kDotCommands));
    for (const char* verb :
         {"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "WITH", "VALUES",
          "EXPLAIN", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "REPLACE", "SAVEPOINT", "RELEASE"}) {
      words.emplace_back(verb);
    }
    return words;
  }
  AskNode();
  std::vector<std::string> words = names_;
  for (int i = 0; i < sqlite3_keyword_count(); ++i) {
    const char* name = nullptr;
    int bytes = 0;
    if (sqlite3_keyword_name(i, &name, &bytes) == SQLITE_OK) {
      words.emplace_back(name, static_cast<size_t>(bytes));
    }
  }
  return words;
}

void ShellWords::AskNode() {
  const auto now = std::chrono::steady_clock::now();
  if (asked_ != std::chrono::steady_clock::time_point() && now - asked_ < kAskAgain) return;
  asked_ = now;
  const Result<std::vector<Row>> rows = ReadAll(node_, {kNames, {}, {}}, kAskTimeout);
  if (!rows.ok()) return;
  names_.clear();
  for (const Row& row : *rows) names_.push_back(PlainText(row.at(0)));
}

}  // namespace cairn::tools
