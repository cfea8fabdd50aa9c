// The commands by which operators ask a node: events, log-level, support-bundle.
#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cmd/commands.h"
#include "tools/cluster_view.h"
#include "tools/operations_client.h"
#include "tools/support_bundle.h"

namespace cairn::cmd {
namespace {

struct Flags {
  std::string address;
  std::string level;
  std::string out;
  uint32_t timeout_ms = 5000;
  std::chrono::milliseconds timeout() const { return std::chrono::milliseconds(timeout_ms); }
};

int Fail(const std::string& who, const Status& status) {
  std::cerr << "error: " << who << ": " << tools::ErrorInWords(status) << std::endl;
  return 1;
}

// Calls `run` with an address that is one.
template <class Run>
int WithAddress(const Flags& flags, Run run) {
  const Result<std::string> address = tools::ParseAddress(flags.address);
  if (address.ok()) return run(*address);
  std::cerr << "error: " << address.status().message() << std::endl;
  return kExitUsage;
}

int Events(const Flags& flags) {
  return WithAddress(flags, [&](const std::string& address) {
    const auto events = tools::OperationsClient(address).ListEvents(flags.timeout());
    if (!events.ok()) return Fail(address, events.status());
    std::cout << tools::EventsText(*events);
    return tools::NeedsSomebody(*events) ? 1 : 0;
  });
}

int LogLevel(const Flags& flags) {
  return WithAddress(flags, [&](const std::string& address) {
    const auto set = tools::OperationsClient(address).SetLogLevel(flags.level, flags.timeout());
    if (!set.ok()) return Fail(address, set.status());
    std::cout << set->level();
    if (!flags.level.empty()) std::cout << ", was " << set->previous();
    std::cout << std::endl;
    return 0;
  });
}

// "cairn-support-20261130T210000Z.tar.zst".
std::string BundleName(int64_t time_s) {
  const auto seconds = static_cast<std::time_t>(time_s);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  return std::string(
      text, std::strftime(text, sizeof(text), "cairn-support-%Y%m%dT%H%M%SZ.tar.zst", &utc));
}

int SupportBundle(const Flags& flags) {
  const int64_t now_s = SystemClock().WallNowMs() / 1000;
  const std::string path = flags.out.empty() ? BundleName(now_s) : flags.out;
  const auto write = [&](const Result<tools::Bundle>& bundle) {
    if (!bundle.ok()) return Fail(flags.address, bundle.status());
    if (const Status written = tools::WriteBundle(*bundle, path, now_s); !written.ok()) {
      return Fail(path, written);
    }
    for (const auto& [name, contents] : *bundle) {
      std::cout << name << ": " << contents.size() << " bytes\n";
    }
    std::cout << path << ": look through it before you give it away (tar --zstd -xf)" << std::endl;
    return 0;
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(flags.address, ignored)) {
    return write(tools::BundleOfDirectory(flags.address));
  }
  return WithAddress(flags, [&](const std::string& address) {
    return write(tools::BundleOfCluster(address, flags.timeout()));
  });
}

CLI::App* Add(CLI::App* program, const std::shared_ptr<Flags>& flags, const char* name,
              const char* help, const char* address_help, const char* address_type) {
  CLI::App* command = program->add_subcommand(name, help);
  command->add_option("address", flags->address, address_help)->type_name(address_type)->required();
  command->add_option("--timeout-ms", flags->timeout_ms, "milliseconds to wait for each node")
      ->type_name("MS")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  return command;
}

}  // namespace

void AddOperationsCommands(CLI::App* program, int* exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* events =
      Add(program, flags, "events",
          "Tell what needs somebody on a node, and what did since it was started; status 1 if "
          "anything does now",
          "host:port of the node", "ADDR");
  events->callback([=] { *exit_code = Events(*flags); });
  CLI::App* level = Add(program, flags, "log-level",
                        "Tell or change how much a node logs, until it is started again",
                        "host:port of the node", "ADDR");
  level->add_option("level", flags->level, "trace, debug, info, warn, error or off")
      ->type_name("LEVEL");
  level->callback([=] { *exit_code = LogLevel(*flags); });
  CLI::App* bundle = Add(
      program, flags, "support-bundle",
      "Write one file for whoever helps: status, health, events, metrics, log, settings and "
      "versions of every node, without data and secrets",
      "host:port of any node, or the directory FILE.cairn of a node that does not run", "ADDR|DIR");
  bundle->add_option("--out", flags->out, "the file; default: cairn-support-TIME.tar.zst")
      ->type_name("FILE");
  bundle->callback([=] { *exit_code = SupportBundle(*flags); });
}

}  // namespace cairn::cmd
