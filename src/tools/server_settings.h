// The settings of `cairn server`. Each is defined once: flag, key of the configuration file,
// default, meaning and check.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/server.h"

namespace cairn::tools {

struct ServeOptions {
  server::ServerOptions server;
  std::string log_level = "info";
  bool log_json = false;
};

struct ServerSetting {
  std::string name;  // of the flag without "--", and in the file; "election-timeout-ms"
  std::string unit;  // in capitals, shown by --help; empty: a flag that has no value, or true
  std::string default_text;
  std::string help;
  std::function<Status(const std::string& value, ServeOptions* options)> set;
};
const std::vector<ServerSetting>& ServerSettings();
// Null if there is none of this name.
const ServerSetting* FindSetting(std::string_view name);

// What a value of the setting is.
enum class SettingKind : uint8_t { kFlag, kNumber, kBytes, kText, kPeers };
SettingKind KindOf(const ServerSetting& setting);

// "1=host:port,2=host:port".
Result<std::map<uint64_t, std::string>> ParsePeers(std::string_view text);
// "64MiB", "1GiB", "4096".
Result<uint64_t> ParseBytes(std::string_view text);

Result<ServeOptions> DefaultServerSettings();
// Whether the settings fit each other.
Status CheckTogether(const server::ServerOptions& server);

// Defaults, then the file at `config_path` (if not empty), then `flags` (by setting name). Errors
// name the flag, or the file and its line.
Result<ServeOptions> ResolveServerSettings(const std::map<std::string, std::string>& flags,
                                           const std::string& config_path);

}  // namespace cairn::tools
