#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cmd/commands.h"
#include "tools/dev_cluster.h"

namespace cairn::cmd {

void AddDevCommand(CLI::App* program, int* exit_code) {
  CLI::App* command = program->add_subcommand(
      "dev", "Run a local cluster for development, all nodes on this machine, until Ctrl-C");
  auto options = std::make_shared<tools::DevOptions>();
  options->directory = "run/dev";
  command->add_option("--nodes", options->nodes, "number of nodes")
      ->type_name("N")
      ->check(CLI::Range(1, 9))
      ->capture_default_str();
  command->add_option("--dir", options->directory, "data and logs of the nodes")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--base-port", options->base_port,
                   "TCP port of node 1; the others take the next ones")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65500))
      ->capture_default_str();
  command->callback([=] { *exit_code = tools::RunDevCluster(*options, &std::cout); });
}

}  // namespace cairn::cmd
