#include <CLI/CLI.hpp>
#include <string>

#include "cmd/commands.h"
#include "tools/process_tls.h"

namespace cairn::cmd {

void AddTlsFlag(CLI::App* command) {
  command
      ->add_option_function<std::string>(
          "--tls-dir", [](const std::string&) {},
          "speak TLS; DIR holds ca.crt, and tls.crt and tls.key of this client (cairn cert issue)")
      ->type_name("DIR")
      ->envname("CAIRN_TLS_DIR")
      ->check(
          [](const std::string& directory) {
            const Status status = tools::UseTls(directory);
            return status.ok() ? std::string() : status.message();
          },
          "");
  for (CLI::App* sub : command->get_subcommands({})) AddTlsFlag(sub);
}

}  // namespace cairn::cmd
