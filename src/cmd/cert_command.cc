#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cmd/commands.h"
#include "tools/cert.h"

namespace cairn::cmd {
namespace {

using tools::CertRequest;
using Request = std::shared_ptr<CertRequest>;
using Action = std::function<Status(const CertRequest&)>;

constexpr int64_t kDays = 397;
constexpr int64_t kDaysMax = 3650;

int Report(const Status& status) {
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << std::endl;
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : 1;
}

CLI::App* AddAction(CLI::App* cert, const std::string& name, const std::string& help,
                    const Request& request, int* exit_code, const Action& action) {
  CLI::App* command = cert->add_subcommand(name, help);
  command->add_option("directory", request->directory, "directory of the authority")
      ->type_name("DIR")
      ->required();
  command->callback([=] { *exit_code = Report(action(*request)); });
  return command;
}

void AddName(CLI::App* command, const Request& request, const std::vector<std::string>& kinds) {
  command->add_option("kind", request->kind, "what the name names")
      ->type_name("KIND")
      ->required()
      ->check(CLI::IsMember(kinds));
  command->add_option("name", request->name, "the id of a node, or the name of a client")
      ->type_name("NAME")
      ->required();
}

void AddMaking(CLI::App* command, const Request& request) {
  command->add_option("--days", request->days, "days that the certificate is good for")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, kDaysMax))
      ->default_val(kDays);
  command
      ->add_option("--out", request->out,
                   "where the TLS directory is made; without it DIR/node-ID or DIR/client-NAME")
      ->type_name("OUT");
}

}  // namespace

void AddCertCommand(CLI::App* program, int* exit_code) {
  CLI::App* cert = program->add_subcommand(
      "cert", "Keep the certificate authority of a site: who may speak to its nodes, and be one");
  cert->require_subcommand(1);
  auto request = std::make_shared<CertRequest>();
  auto cluster = std::make_shared<std::string>();

  CLI::App* init = AddAction(
      cert, "init", "Make an authority", request, exit_code, [cluster](const CertRequest& given) {
        return tools::InitAuthority(given.directory, *cluster, SystemClock(), &std::cout);
      });
  init->add_option("--cluster", *cluster,
                   "id of a cluster that runs already; without it the authority names the cluster "
                   "that its nodes will found")
      ->type_name("ID");

  CLI::App* issue =
      AddAction(cert, "issue", "Make a key and a certificate, in a directory for --tls-dir",
                request, exit_code, [](const CertRequest& given) {
                  return tools::IssueCertificate(given, SystemClock(), &std::cout);
                });
  AddName(issue, request, {"node", "client"});
  issue
      ->add_option("--host", request->hosts,
                   "names and addresses of the node, for clients that are not Cairn's")
      ->type_name("HOST[,HOST]")
      ->delimiter(',');
  AddMaking(issue, request);

  CLI::App* renew =
      AddAction(cert, "renew", "Make a new key and certificate with the names of the old one",
                request, exit_code, [](const CertRequest& given) {
                  return tools::RenewCertificate(given, SystemClock(), &std::cout);
                });
  AddName(renew, request, {"node", "client"});
  AddMaking(renew, request);

  CLI::App* revoke = AddAction(
      cert, "revoke", "Revoke the certificates of a node or client, or one by its serial number",
      request, exit_code, [](const CertRequest& given) {
        return tools::RevokeCertificates(given, SystemClock(), &std::cout);
      });
  AddName(revoke, request, {"node", "client", "serial"});

  AddAction(cert, "list", "Show all certificates that were issued", request, exit_code,
            [](const CertRequest& given) {
              return tools::ListCertificates(given.directory, SystemClock(), &std::cout);
            });
}

}  // namespace cairn::cmd
