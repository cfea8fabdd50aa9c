// A server of a later version, for the tests of upgrades: it knows one feature level more than this
// build, in which nothing else is new. Takes the flags of `cairn server`, each as two arguments.
#include <iostream>
#include <map>
#include <string>

#include "tools/serve.h"
#include "tools/server_settings.h"

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 2; i + 1 < argc; i += 2) flags[std::string(argv[i]).substr(2)] = argv[i + 1];
  auto options = cairn::tools::ResolveServerSettings(flags, "");
  if (!options.ok()) {
    std::cerr << "error: " << options.status().message() << std::endl;
    return 2;
  }
  options->server.level_max = cairn::state_machine::kLevelHighest + 1;
  return cairn::tools::Serve(*options);
}
