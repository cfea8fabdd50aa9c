#include "tools/process_tls.h"

#include <grpc/support/log.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "base/clock.h"

namespace cairn::tools {
namespace {

struct Process {
  security::TlsPtr tls;
  std::string directory;
  std::string token_file;
};

// Never destroyed: threads of gRPC may outlive the end of main.
Process& TheProcess() {
  static auto* const kProcess = new Process();
  return *kProcess;
}

void PrintUnlessHandshake(gpr_log_func_args* line) {
  if (line->severity < GPR_LOG_SEVERITY_ERROR) return;
  if (std::strstr(line->file, "security") != nullptr) return;
  std::fprintf(stderr, "gRPC: %s\n", line->message);
}

}  // namespace

Status UseTls(const std::string& directory, const std::string& token_file) {
  ASSIGN_OR_RETURN(security::TlsPtr tls,
                   security::Tls::ForClient(directory, &SystemClock(), token_file));
  TheProcess() = {std::move(tls), directory, token_file};
  return OkStatus();
}

const security::TlsPtr& ProcessTls() { return TheProcess().tls; }
const std::string& ProcessTlsDirectory() { return TheProcess().directory; }
const std::string& ProcessTokenFile() { return TheProcess().token_file; }

void SilenceGrpc() { gpr_set_log_function(PrintUnlessHandshake); }

}  // namespace cairn::tools
