#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "cmd/commands.h"
#include "cmd/manual.h"

namespace cairn::cmd {
namespace {

int WriteManual(const CLI::App& program, const std::string& directory) {
  for (const auto& [name, text] : ManualPages(program)) {
    const std::string path = directory + "/" + name;
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (file) continue;
    std::cerr << "error: cannot write " << path << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace

void AddManualCommands(CLI::App* program, int* exit_code) {
  CLI::App* manual = program->add_subcommand(
      "manual", "Write the manual pages into a directory, for those who make packages");
  auto directory = std::make_shared<std::string>();
  manual->add_option("directory", *directory, "where the pages go; it exists")
      ->type_name("DIR")
      ->required();
  manual->callback([=] { *exit_code = WriteManual(*program, *directory); });

  CLI::App* completion = program->add_subcommand(
      "completion", "Print the script by which a shell completes the commands of cairn");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "bash or zsh")
      ->type_name("SHELL")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  completion->callback([=] {
    std::cout << (*shell == "bash" ? BashCompletion(*program) : ZshCompletion(*program));
  });
}

}  // namespace cairn::cmd
