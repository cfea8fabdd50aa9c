#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cmd/commands.h"
#include "server/options.h"
#include "tools/config_file.h"

namespace cairn::cmd {
namespace {

int Refuse(const Status& status) {
  std::cerr << "error: " << status.message() << std::endl;
  return 1;
}

// Reads the file as a server would, and tells every problem.
int Check(const std::string& path) {
  Result<tools::ServeOptions> options = tools::DefaultServerSettings();
  if (!options.ok()) return Refuse(options.status());
  const Result<tools::ConfigFile> file = tools::ReadConfigFile(path, &*options);
  if (!file.ok()) return Refuse(file.status());
  std::vector<std::string> problems = file->problems;
  if (problems.empty()) {
    Status whole = tools::CheckTogether(options->server);
    if (whole.ok()) whole = server::CheckOptions(options->server);
    if (!whole.ok()) problems.push_back(path + ": " + whole.message());
  }
  for (const std::string& problem : problems) std::cerr << "error: " << problem << "\n";
  if (!problems.empty()) return 1;
  std::cout << path << ": a server takes it; settings in it: " << file->entries.size() << std::endl;
  return 0;
}

int Show(const std::string& path) {
  Result<tools::ServeOptions> options = tools::DefaultServerSettings();
  if (!options.ok()) return Refuse(options.status());
  const Result<tools::ConfigFile> file = tools::ReadConfigFile(path, &*options);
  if (!file.ok()) return Refuse(file.status());
  for (const std::string& problem : file->problems) std::cerr << "error: " << problem << "\n";
  if (!file->problems.empty()) return 1;
  std::cout << tools::EffectiveConfigText(*file, path);
  return 0;
}

int Default(const std::vector<std::string>& assignments) {
  std::map<std::string, std::string> values;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      std::cerr << "error: '" << assignment << "' is not of the form NAME=VALUE" << std::endl;
      return kExitUsage;
    }
    values[assignment.substr(0, equals)] = assignment.substr(equals + 1);
  }
  const Result<std::string> text = tools::ConfigFileText(values);
  if (!text.ok()) return Refuse(text.status());
  std::cout << *text;
  return 0;
}

}  // namespace

void AddConfigCommand(CLI::App* program, int* exit_code) {
  CLI::App* command =
      program->add_subcommand("config", "Check, show and make configuration files of servers");
  command->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* help, int (*run)(const std::string&)) {
    CLI::App* sub = command->add_subcommand(name, help);
    sub->add_option("file", *path, "the configuration file")->type_name("FILE")->required();
    sub->callback([=] { *exit_code = run(*path); });
  };
  add("check",
      "Say whether a server would take a file, and everything that is wrong with it; status 1 if "
      "anything is",
      Check);
  add("show", "Print every setting that a server would have with a file, and where it is from",
      Show);
  auto values = std::make_shared<std::vector<std::string>>();
  CLI::App* defaults = command->add_subcommand(
      "default", "Print a complete file with a comment on each setting, and some of them set");
  defaults->add_option("settings", *values, "settings that are set in the file")
      ->type_name("NAME=VALUE");
  defaults->callback([=] { *exit_code = Default(*values); });
}

}  // namespace cairn::cmd
