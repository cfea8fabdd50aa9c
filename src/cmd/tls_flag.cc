#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cmd/commands.h"
#include "tools/process_tls.h"

namespace cairn::cmd {
namespace {

constexpr char kVariable[] = "CAIRN_TLS_DIR";

void AddFlag(CLI::App* command, const std::shared_ptr<std::string>& directory) {
  command
      ->add_option(
          "--tls-dir", *directory,
          "speak TLS; DIR holds ca.crt, and tls.crt and tls.key of this client (cairn cert "
          "issue); else the environment variable CAIRN_TLS_DIR names it")
      ->type_name("DIR");
  for (CLI::App* sub : command->get_subcommands({})) AddFlag(sub, directory);
}

}  // namespace

void AddTlsFlags(CLI::App* program, const std::vector<std::string>& commands) {
  auto directory = std::make_shared<std::string>();
  for (const std::string& name : commands) AddFlag(program->get_subcommand(name), directory);
  // After all flags are read, and before the command runs.
  program->parse_complete_callback([=] {
    const std::vector<CLI::App*> chosen = program->get_subcommands();
    if (chosen.empty() ||
        std::find(commands.begin(), commands.end(), chosen[0]->get_name()) == commands.end()) {
      return;
    }
    std::string source = "--tls-dir";
    if (directory->empty()) {
      const char* const named = std::getenv(kVariable);
      if (named == nullptr || *named == '\0') return;
      *directory = named;
      source = kVariable;
    }
    const Status status = tools::UseTls(*directory);
    if (status.ok()) return;
    std::cerr << "error: " << source << ": " << status.message() << std::endl;
    std::exit(kExitUsage);
  });
}

}  // namespace cairn::cmd
