// Commands, entries and results: any bytes are refused or mean one thing.
#include "base/check.h"
#include "fuzz_input.h"
#include "state_machine/command.h"

namespace cairn::state_machine {
namespace {

// NaN has many encodings and does not equal itself, so the target compares bytes, not values.
void TryCommand(std::string_view bytes) {
  const Result<Command> command = DecodeCommand(bytes);
  if (!command.ok()) return;
  const std::string encoded = EncodeCommand(*command);
  const Result<Command> again = DecodeCommand(encoded);
  CHECK(again.ok()) << again.status().ToString();
  CHECK(EncodeCommand(*again) == encoded);
}

void TryBatch(std::string_view bytes) {
  const Result<CommandBatch> batch = DecodeBatch(bytes);
  if (!batch.ok()) return;
  std::vector<std::string> commands;
  commands.reserve(batch->commands.size());
  for (const Command& command : batch->commands) commands.push_back(EncodeCommand(command));
  std::string encoded;
  EncodeBatch(batch->header, commands, &encoded);
  const Result<CommandBatch> again = DecodeBatch(encoded);
  CHECK(again.ok()) << again.status().ToString();
  CHECK(again->commands.size() == commands.size());
}

void TryResult(std::string_view bytes) {
  const Result<CommandResult> result = DecodeCommandResult(bytes);
  if (!result.ok()) return;
  const std::string encoded = EncodeCommandResult(*result);
  const Result<CommandResult> again = DecodeCommandResult(encoded);
  CHECK(again.ok()) << again.status().ToString();
  CHECK(EncodeCommandResult(*again) == encoded);
}

}  // namespace
}  // namespace cairn::state_machine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::state_machine;  // NOLINT: a function's
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: TryCommand(bytes); break;
    case 1: TryBatch(bytes); break;
    default: TryResult(bytes); break;
  }
  return 0;
}
