#include "tools/config_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <numeric>
#include <optional>
#include <string_view>

namespace cairn::tools {
namespace {

constexpr size_t kConfigBytesMax = 1 << 20;
constexpr size_t kCommentColumns = 96;
// A key that needs more changes than these is hardly a slip of the pen.
constexpr size_t kSlipsMax = 3;

// The changes of one character that lead from `a` to `b`.
size_t SlipsBetween(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string UnknownSetting(std::string_view key) {
  const ServerSetting* nearest = nullptr;
  size_t least = kSlipsMax + 1;
  for (const ServerSetting& setting : ServerSettings()) {
    const size_t slips = SlipsBetween(key, setting.name);
    if (slips >= least) continue;
    least = slips;
    nearest = &setting;
  }
  std::string text = "unknown setting '" + std::string(key) + "'";
  if (nearest != nullptr) text += "; is '" + nearest->name + "' meant?";
  return text + " (cairn config default lists all settings)";
}

// What a value in the file has to be, in words.
const char* WantedType(SettingKind kind) {
  switch (kind) {
    case SettingKind::kFlag: return "true or false, without quotes";
    case SettingKind::kNumber: return "a whole number, without quotes";
    case SettingKind::kBytes: return "a whole number, or a size in quotes such as \"64MiB\"";
    case SettingKind::kPeers:
      return "a table such as { 1 = \"host1:50051\" }, or text in quotes such as "
             "\"1=host1:50051\"";
    case SettingKind::kText: break;
  }
  return "text in quotes";
}

Result<std::string> PeersText(const toml::table& table) {
  std::string joined;
  for (const auto& [id, address] : table) {
    const auto text = address.value_exact<std::string>();
    if (!text) {
      return InvalidArgument("the address of peer " + std::string(id) + " must be text in quotes");
    }
    joined += (joined.empty() ? "" : ",") + std::string(id) + "=" + *text;
  }
  return joined;
}

// The text that a value of the file would have as a flag.
Result<std::string> AsFlagText(SettingKind kind, const toml::node& node) {
  const bool may_be_text =
      kind == SettingKind::kText || kind == SettingKind::kBytes || kind == SettingKind::kPeers;
  if (const auto text = node.value_exact<std::string>(); text && may_be_text) return *text;
  const bool may_be_number = kind == SettingKind::kNumber || kind == SettingKind::kBytes;
  if (const auto number = node.value_exact<int64_t>(); number && may_be_number) {
    return std::to_string(*number);
  }
  if (const auto flag = node.value_exact<bool>(); flag && kind == SettingKind::kFlag) {
    return std::string(*flag ? "true" : "false");
  }
  if (const toml::table* table = node.as_table(); table && kind == SettingKind::kPeers) {
    return PeersText(*table);
  }
  return InvalidArgument(std::string("must be ") + WantedType(kind));
}

// The parser reports errors by throwing. No exception leaves this function.
Result<toml::table> ParseToml(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(path + ":" + std::to_string(error.source().begin.line) + ": " +
                           std::string(error.description()));
  }
}

// Opened for reading only, so that no right to write is needed.
Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoStatus("open " + path, errno);
  std::string text(kConfigBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return ErrnoStatus("read " + path, errno);
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() <= kConfigBytesMax) return text;
  return InvalidArgument(path + " is larger than a configuration file may be (1 MiB)");
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// `value` of a flag as the file would have it.
std::string TomlValue(const ServerSetting& setting, const std::string& value) {
  const SettingKind kind = KindOf(setting);
  const bool digits = !value.empty() && value.find_first_not_of("0123456789") == value.npos;
  if (kind == SettingKind::kFlag || kind == SettingKind::kNumber) return value;
  if (kind == SettingKind::kBytes && digits) return value;
  return Quoted(value);
}

std::string ExampleOf(const ServerSetting& setting) {
  const SettingKind kind = KindOf(setting);
  if (kind == SettingKind::kFlag) return "false";
  if (kind == SettingKind::kPeers) {
    return "{ 1 = \"host1:50051\", 2 = \"host2:50051\", 3 = \"host3:50051\" }";
  }
  return TomlValue(setting, setting.default_text.empty() ? setting.unit : setting.default_text);
}

// A comment that is wrapped at spaces.
std::string Comment(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    size_t end = text.size();
    if (end > kCommentColumns) {
      end = text.rfind(' ', kCommentColumns);
      if (end == text.npos) end = text.find(' ');
    }
    end = std::min(end, text.size());
    lines += "# " + std::string(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

Result<ConfigFile> ReadConfigFile(const std::string& path, ServeOptions* options) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  ConfigFile file;
  Result<toml::table> table = ParseToml(text, path);
  if (!table.ok()) {
    file.problems.push_back(table.status().message());
    return file;
  }
  std::map<int, std::vector<std::string>> problems;  // by line: the table is in order of its keys
  for (const auto& [key, node] : *table) {
    const int line = static_cast<int>(key.source().begin.line);
    const ServerSetting* setting = FindSetting(key.str());
    if (setting == nullptr) {
      problems[line].push_back(UnknownSetting(key.str()));
      continue;
    }
    Result<std::string> value = AsFlagText(KindOf(*setting), node);
    const Status status = value.ok() ? setting->set(*value, options) : value.status();
    if (status.ok()) {
      file.entries[setting->name] = {*value, line};
    } else {
      problems[line].push_back(setting->name + ": " + status.message());
    }
  }
  for (const auto& [line, of_line] : problems) {
    for (const std::string& problem : of_line) {
      file.problems.push_back(path + ":" + std::to_string(line) + ": " + problem);
    }
  }
  return file;
}

Result<std::string> ConfigFileText(const std::map<std::string, std::string>& values) {
  ServeOptions checked;
  for (const auto& [name, value] : values) {
    const ServerSetting* setting = FindSetting(name);
    if (setting == nullptr) return InvalidArgument(UnknownSetting(name));
    RETURN_IF_ERROR(setting->set(value, &checked).Prefixed(name));
  }
  std::string text =
      "# Settings of `cairn server`, in TOML. Each is also a flag (cairn server --help), and a "
      "flag\n"
      "# outranks this file. A line that begins with '#' tells the default, or the form of what "
      "has\n"
      "# none. Check this file with `cairn config check FILE` before you restart the server.\n";
  for (const ServerSetting& setting : ServerSettings()) {
    std::string help = setting.help;
    if (!setting.default_text.empty()) help += ". Default: " + setting.default_text;
    text += "\n" + Comment(help);
    const auto set = values.find(setting.name);
    text += set == values.end() ? "# " + setting.name + " = " + ExampleOf(setting) + "\n"
                                : setting.name + " = " + TomlValue(setting, set->second) + "\n";
  }
  return text;
}

std::string EffectiveConfigText(const ConfigFile& file, const std::string& path,
                                const std::map<std::string, std::string>& flags) {
  std::string text;
  for (const ServerSetting& setting : ServerSettings()) {
    const auto flag = flags.find(setting.name);
    const auto entry = file.entries.find(setting.name);
    const std::string line = setting.name + " = ";
    if (flag != flags.end()) {
      text += line + TomlValue(setting, flag->second) + "  # flag\n";
    } else if (entry != file.entries.end()) {
      text += line + TomlValue(setting, entry->second.value) + "  # " + path + ":" +
              std::to_string(entry->second.line) + "\n";
    } else if (!setting.default_text.empty()) {
      text += line + TomlValue(setting, setting.default_text) + "  # default\n";
    } else {
      text += "# " + setting.name + " is not set\n";
    }
  }
  return text;
}

}  // namespace cairn::tools
