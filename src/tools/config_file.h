// The configuration file of `cairn server`: TOML with one key for each setting (server_settings.h).
// The file that is shipped is made here from the settings, so no key or default is written twice.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/server_settings.h"

namespace cairn::tools {

struct ConfigEntry {
  std::string value;  // the text that the value would have as a flag
  int line = 0;
};

struct ConfigFile {
  std::map<std::string, ConfigEntry> entries;  // by setting name; only those that are right
  // Each begins with the file and its line, and says what to do.
  std::vector<std::string> problems;
};

// An error if the file can not be read. What is wrong in the file is among the problems. Each
// value that is right is applied to `options`.
Result<ConfigFile> ReadConfigFile(const std::string& path, ServeOptions* options);

// The complete, commented file. The settings in `values` are set, all others are comments that tell
// the default. INVALID_ARGUMENT for an unknown setting or a bad value.
Result<std::string> ConfigFileText(const std::map<std::string, std::string>& values);

// Every setting with its value and where the value comes from, as a file that may be used. A flag
// outranks the file.
std::string EffectiveConfigText(const ConfigFile& file, const std::string& path,
                                const std::map<std::string, std::string>& flags = {});

}  // namespace cairn::tools
