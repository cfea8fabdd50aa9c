#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "tools/serve.h"
#include "tools/server_settings.h"

namespace cairn::cmd {

void AddServerCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "server", "Run one node: alone, or as a member of the cluster that --peers names");
  auto flags = std::make_shared<std::map<std::string, std::string>>();
  auto config_path = std::make_shared<std::string>();
  for (const tools::ServerSetting& setting : tools::ServerSettings()) {
    if (setting.unit.empty()) {
      // --insecure=false outranks a file that says true.
      command->add_flag_function(
          "--" + setting.name,
          [flags, name = setting.name](int64_t count) {
            (*flags)[name] = count > 0 ? "true" : "false";
          },
          setting.help);
      continue;
    }
    command
        ->add_option_function<std::string>(
            "--" + setting.name,
            [flags, name = setting.name](const std::string& value) { (*flags)[name] = value; },
            setting.help)
        ->type_name(setting.unit)
        ->default_str(setting.default_text);
  }
  command
      ->add_option(
          "--config", *config_path,
          "TOML file with the same settings (cairn config default); a flag outranks the file")
      ->type_name("FILE");
  command->callback([=] {
    const Result<tools::ServeOptions> options = tools::ResolveServerSettings(*flags, *config_path);
    if (!options.ok()) {
      std::fprintf(stderr, "error: %s\n", options.status().message().c_str());
      *exit_code = kExitUsage;
      return;
    }
    *exit_code = tools::Serve(*options);
  });
}

}  // namespace cairn::cmd
