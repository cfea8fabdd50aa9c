// The manual pages and the completion of shells, made from the commands and flags themselves.
#pragma once

#include <map>
#include <string>

namespace CLI {
class App;
}

namespace cairn::cmd {

// By file name: "cairn.1", a page for each command such as "cairn-server.1", and "cairn.toml.5".
std::map<std::string, std::string> ManualPages(const CLI::App& program);

// Scripts that complete commands, flags and files.
std::string BashCompletion(const CLI::App& program);
std::string ZshCompletion(const CLI::App& program);

}  // namespace cairn::cmd
