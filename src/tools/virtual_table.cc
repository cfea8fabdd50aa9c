#include "tools/virtual_table.h"

#include <optional>
#include <regex>

namespace cairn::tools {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

// Of CREATE VIRTUAL TABLE ... USING module(...).
std::string ModuleOf(const std::string& sql) {
  static const std::regex kUsing(R"(\bUSING\s+["'`\[]?(\w+))", std::regex::icase);
  std::smatch match;
  return std::regex_search(sql, match, kUsing) ? Lower(match[1].str()) : "";
}

// The value of the option `content`; nothing if it is not given.
std::optional<std::string> ContentOption(const std::string& sql) {
  static const std::regex kContent(R"re([(,]\s*content\s*=\s*(?:'([^']*)'|"([^"]*)"|(\w*)))re",
                                   std::regex::icase);
  std::smatch match;
  if (!std::regex_search(sql, match, kContent)) return std::nullopt;
  return match[1].str() + match[2].str() + match[3].str();
}

}  // namespace

VirtualTable DescribeVirtualTable(const std::string& sql) {
  VirtualTable table;
  const std::string module = ModuleOf(sql);
  if (module == "fts5vocab" || module == "fts4aux") table.has_rows = false;
  const bool is_fts5 = module == "fts5";
  if (!is_fts5 && module != "fts4" && module != "fts3") return table;
  table.rowid = is_fts5 ? "rowid" : "docid";
  const std::optional<std::string> content = ContentOption(sql);
  table.has_rows = !content.has_value();
  table.without_content = content.has_value() && content->empty();
  table.rebuilds = content.has_value() && !content->empty();
  return table;
}

}  // namespace cairn::tools
