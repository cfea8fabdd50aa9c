// The subcommands of `cairn`: each adds its flags to the program and, when it is chosen, sets the
// exit code.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cairn::cmd {

// Exit codes: 0 done, 1 tried and failed, 2 wrong usage (main).
inline constexpr int kExitUsage = 2;

void AddServerCommand(CLI::App* program, int* exit_code);
void AddClientCommand(CLI::App* program, int* exit_code);
void AddShellCommand(CLI::App* program, int* exit_code);
void AddDumpCommand(CLI::App* program, int* exit_code);
void AddDevCommand(CLI::App* program, int* exit_code);
void AddLoadCommand(CLI::App* program, int* exit_code);
void AddDoctorCommand(CLI::App* program, int* exit_code);
void AddMemberCommand(CLI::App* program, int* exit_code);
// `grant`, `revoke` and `access`.
void AddAccessCommands(CLI::App* program, int* exit_code);
void AddAuditCommand(CLI::App* program, int* exit_code);
void AddWatchCommand(CLI::App* program, int* exit_code);
void AddBackupCommand(CLI::App* program, int* exit_code);
void AddRestoreCommand(CLI::App* program, int* exit_code);
void AddCertCommand(CLI::App* program, int* exit_code);
void AddTokenCommand(CLI::App* program, int* exit_code);
void AddOperationsCommands(CLI::App* program, int* exit_code);
void AddConfigCommand(CLI::App* program, int* exit_code);
// They tell of the commands that were added, when they are run.
void AddManualCommands(CLI::App* program, int* exit_code);

// Lets the commands that call nodes, and the commands below them, speak TLS. Call it once, after
// they were added.
void AddTlsFlags(CLI::App* program, const std::vector<std::string>& commands);

}  // namespace cairn::cmd
