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
constexpr char kTokenVariable[] = "CAIRN_TOKEN_FILE";

struct Flags {
  std::string directory;
  std::string token_file;
};

void AddFlag(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command
      ->add_option(
          "--tls-dir", flags->directory,
          "speak TLS; DIR holds ca.crt, and tls.crt and tls.key of this client (cairn cert "
          "issue); else the environment variable CAIRN_TLS_DIR names it")
      ->type_name("DIR");
  command
      ->add_option("--token-file", flags->token_file,
                   "say who this client is by the token in FILE (cairn token issue), over TLS; "
                   "else the environment variable CAIRN_TOKEN_FILE names it")
      ->type_name("FILE");
  for (CLI::App* sub : command->get_subcommands({})) AddFlag(sub, flags);
}

void FromVariable(const char* variable, std::string* value, std::string* source) {
  const char* const named = std::getenv(variable);
  if (!value->empty() || named == nullptr || *named == '\0') return;
  *value = named;
  *source = variable;
}

void Use(Flags* flags) {
  std::string source = "--tls-dir";
  std::string token_source = "--token-file";
  FromVariable(kVariable, &flags->directory, &source);
  FromVariable(kTokenVariable, &flags->token_file, &token_source);
  if (flags->directory.empty() && flags->token_file.empty()) return;
  Status status = flags->directory.empty()
                      ? InvalidArgument("a token is sent over TLS alone: give --tls-dir too")
                      : tools::UseTls(flags->directory, flags->token_file);
  if (status.ok()) return;
  if (flags->directory.empty()) source = token_source;
  std::cerr << "error: " << source << ": " << status.message() << std::endl;
  std::exit(kExitUsage);
}

}  // namespace

void AddTlsFlags(CLI::App* program, const std::vector<std::string>& commands) {
  auto flags = std::make_shared<Flags>();
  for (const std::string& name : commands) AddFlag(program->get_subcommand(name), flags);
  // After all flags are read, and before the command runs.
  program->parse_complete_callback([=] {
    const std::vector<CLI::App*> chosen = program->get_subcommands();
    if (!chosen.empty() &&
        std::find(commands.begin(), commands.end(), chosen[0]->get_name()) != commands.end()) {
      Use(flags.get());
    }
  });
}

}  // namespace cairn::cmd
