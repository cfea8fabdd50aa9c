#include "tools/server_settings.h"

#include <charconv>
#include <chrono>

#include "base/host_port.h"
#include "tools/config_file.h"
#include "tools/node_client.h"

namespace cairn::tools {
namespace {

// Raft's timeouts are counted in ticks of this length.
constexpr uint64_t kTickMs = 10;
constexpr uint64_t kDayMs = 24 * 3600 * 1000;
// With less a request of some MiB would find no room.
constexpr uint64_t kMemoryBytesMin = 64 << 20;

Result<uint64_t> ParseNumber(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max) {
    return InvalidArgument("'" + std::string(text) + "' is not a whole number from " +
                           std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

Result<uint64_t> ParseTicks(const std::string& text) {
  ASSIGN_OR_RETURN(const uint64_t ms, ParseNumber(text, kTickMs, kDayMs));
  if (ms % kTickMs != 0) {
    return InvalidArgument(text + " ms is not a multiple of the tick of " +
                           std::to_string(kTickMs) + " ms");
  }
  return ms / kTickMs;
}

template <class Field>
auto SetNumber(Field field, uint64_t min, uint64_t max) {
  return [=](const std::string& value, ServeOptions* options) -> Status {
    ASSIGN_OR_RETURN(const uint64_t number, ParseNumber(value, min, max));
    using Type = std::remove_reference_t<decltype(options->server.*field)>;
    options->server.*field = Type(number);
    return OkStatus();
  };
}

template <class Field>
auto SetBytes(Field field) {
  return [=](const std::string& value, ServeOptions* options) -> Status {
    ASSIGN_OR_RETURN(options->server.*field, ParseBytes(value));
    return OkStatus();
  };
}

template <class Field>
auto SetBytesBetween(Field field, uint64_t min, uint64_t max) {
  return [=](const std::string& value, ServeOptions* options) -> Status {
    ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(value));
    if (bytes < min || bytes > max) {
      return InvalidArgument("'" + value + "' is not a size from " + std::to_string(min) + " to " +
                             std::to_string(max) + " bytes");
    }
    options->server.*field = bytes;
    return OkStatus();
  };
}

template <class Field>
auto SetTicks(Field field) {
  return [=](const std::string& value, ServeOptions* options) -> Status {
    ASSIGN_OR_RETURN(options->server.*field, ParseTicks(value));
    return OkStatus();
  };
}

template <class Field>
auto SetText(Field field) {
  return [=](const std::string& value, ServeOptions* options) -> Status {
    if (value.empty()) return InvalidArgument("must not be empty");
    options->server.*field = value;
    return OkStatus();
  };
}

Status SetMemory(const std::string& value, ServeOptions* options) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(value));
  if (bytes < kMemoryBytesMin) {
    return InvalidArgument(value + " is less than " + std::to_string(kMemoryBytesMin >> 20) +
                           " MiB, which a node needs");
  }
  options->server.memory_bytes_max = bytes;
  return OkStatus();
}

Status SetPeers(const std::string& value, ServeOptions* options) {
  ASSIGN_OR_RETURN(options->server.peers, ParsePeers(value));
  return OkStatus();
}

// The others reach a node by this address, and by the entries of peers.
Status SetAdvertise(const std::string& value, ServeOptions* options) {
  RETURN_IF_ERROR(CheckReachable(value));
  options->server.advertise = value;
  return OkStatus();
}

Status SetInsecure(const std::string& value, ServeOptions* options) {
  if (value != "true" && value != "false") {
    return InvalidArgument("'" + value + "' is neither true nor false");
  }
  options->server.insecure = value == "true";
  return OkStatus();
}

Status SetAuth(const std::string& value, ServeOptions* options) {
  options->server.auth.reset();
  if (value == "auto") return OkStatus();
  if (value != "on" && value != "off") {
    return InvalidArgument("'" + value + "' is none of auto, on, off");
  }
  options->server.auth = value == "on";
  return OkStatus();
}

Status SetLogLevel(const std::string& value, ServeOptions* options) {
  for (const char* level : {"trace", "debug", "info", "warn", "error", "off"}) {
    if (value == level) {
      options->log_level = value;
      return OkStatus();
    }
  }
  return InvalidArgument("'" + value + "' is none of trace, debug, info, warn, error, off");
}

Status SetLogFormat(const std::string& value, ServeOptions* options) {
  if (value != "text" && value != "json") {
    return InvalidArgument("'" + value + "' is neither text nor json");
  }
  options->log_json = value == "json";
  return OkStatus();
}

std::vector<ServerSetting> IdentitySettings() {
  using server::ServerOptions;
  constexpr uint64_t kIdMax = 1'000'000;
  return {
      {"id", "N", "1", "this node's number in the cluster",
       SetNumber(&ServerOptions::node_id, 1, kIdMax)},
      {"host", "ADDRESS", "127.0.0.1",
       "address to listen on; all but loopback need --tls-dir, or --insecure",
       SetText(&ServerOptions::host)},
      {"advertise", "HOST:PORT", "",
       "address by which peers and clients reach this node, if it is not --host and --port",
       SetAdvertise},
      {"port", "PORT", "50051", "TCP port that serves clients and peers",
       SetNumber(&ServerOptions::port, 1, 65535)},
      {"http-port", "PORT", "0",
       "TCP port of the HTTP door: /livez, /readyz, /metrics, /v1/status, /v1/events (0: none)",
       SetNumber(&ServerOptions::http_port, 0, 65535)},
      {"http-host", "ADDRESS", "127.0.0.1",
       "address that the HTTP door listens on; it has no TLS and asks nobody who they are",
       SetText(&ServerOptions::http_host)},
      {"db", "FILE", "master.db", "the SQLite file; the log and all else are in FILE.cairn/",
       SetText(&ServerOptions::db_path)},
      {"tls-dir", "DIR", "",
       "speak TLS alone: DIR holds ca.crt, tls.crt and tls.key of this node (cairn cert issue)",
       SetText(&ServerOptions::tls_directory)},
      {"auth", "auto|on|off", "auto",
       "whether callers may do only what they are granted (cairn grant); auto: with --tls-dir",
       SetAuth},
      {"insecure", "", "",
       "listen beyond loopback without TLS: everyone who reaches the port may do everything",
       SetInsecure},
      {"engine", "NAME", "sqlite", "storage engine; there is one: sqlite",
       SetText(&ServerOptions::engine)},
      {"peers", "ID=HOST:PORT,...", "",
       "all nodes of the cluster, this one included (without it: alone)", SetPeers},
  };
}

std::vector<ServerSetting> LimitSettings() {
  using server::ServerOptions;
  constexpr uint64_t kStepsMin = 100'000;
  constexpr uint64_t kStepsMax = 1'000'000'000'000;
  return {
      {"election-timeout-ms", "MS", "150",
       "milliseconds without a leader before an election (up to twice that, at random)",
       SetTicks(&ServerOptions::election_ticks)},
      {"heartbeat-ms", "MS", "30", "milliseconds between a leader's heartbeats",
       SetTicks(&ServerOptions::heartbeat_ticks)},
      {"request-timeout-ms", "MS", "10000", "milliseconds for a request that names no timeout",
       SetNumber(&ServerOptions::request_timeout, 1, kDayMs)},
      {"leader-wait-ms", "MS", "3000", "milliseconds that a request waits for a leader",
       SetNumber(&ServerOptions::leader_wait, 0, kDayMs)},
      {"request-ttl-ms", "MS", "900000",
       "milliseconds for which a request is remembered at least, so that its retry is safe",
       SetNumber(&ServerOptions::request_ttl, 1000, kDayMs)},
      {"log-bytes-max", "BYTES", "64MiB", "compaction keeps the Raft log near this size",
       SetBytes(&ServerOptions::log_bytes_max)},
      {"memory-bytes-max", "BYTES", "512MiB",
       "memory for requests, results and queries, without SQLite's caches; past it they are "
       "refused",
       SetMemory},
      {"vector-bytes-max", "BYTES", "256MiB",
       "memory for approximate indexes of vectors; without it a search reads every vector (0: "
       "none)",
       SetBytes(&ServerOptions::vector_bytes_max)},
      {"free-bytes-min", "BYTES", "64MiB", "refuse writes while the disk has less free than this",
       SetBytes(&ServerOptions::free_bytes_min)},
      {"request-steps-max", "STEPS", "50000000",
       "work that one request may do, in steps of about 20 ns; the leader's setting counts",
       SetNumber(&ServerOptions::request_steps_max, kStepsMin, kStepsMax)},
      {"maintenance-steps-max", "STEPS", "5000000000",
       "work that a request of maintenance may do (cairn shell --maintenance)",
       SetNumber(&ServerOptions::maintenance_steps_max, kStepsMin, kStepsMax)},
      {"digest-interval-ms", "MS", "600000",
       "milliseconds between two comparisons of what the nodes hold, and between two scrubs (0: "
       "never)",
       SetNumber(&ServerOptions::digest_every, 0, kDayMs)},
      {"log-level", "LEVEL", "info", "trace, debug, info, warn, error or off; to standard error",
       SetLogLevel},
      {"log-format", "FORMAT", "text", "text, or json: one object a line", SetLogFormat},
  };
}

// How writes of many clients share an entry, and what may wait for one.
std::vector<ServerSetting> WriteSettings() {
  using server::ServerOptions;
  constexpr uint64_t kDelayUsMax = 1'000'000;
  constexpr uint64_t kEntriesMax = 64;
  constexpr uint64_t kQueueCommandsMax = 1'000'000;
  constexpr uint64_t kQueueBytesMax = uint64_t{16} << 30;
  constexpr uint64_t kBatchBytesMin = 4 << 10;
  // The largest write must find room in the queue, and need not share its entry.
  constexpr uint64_t kCommandBytes = state_machine::kCommandBytesMax;
  return {
      {"batch-commands-max", "N", "1024", "writes that share one entry of the log",
       SetNumber(&ServerOptions::batch_commands_max, 1, state_machine::kCommandsPerBatchMax)},
      {"batch-bytes-max", "BYTES", "1MiB", "bytes of the writes that share one entry of the log",
       SetBytesBetween(&ServerOptions::batch_bytes_max, kBatchBytesMin, kCommandBytes)},
      {"batch-delay-us-max", "US", "2000",
       "microseconds that an entry waits for the clients that were just answered (0: never)",
       SetNumber(&ServerOptions::batch_delay_max, 0, kDelayUsMax)},
      {"batch-entries-in-flight-max", "N", "4",
       "entries of a leader that a majority does not hold yet",
       SetNumber(&ServerOptions::batch_entries_in_flight_max, 1, kEntriesMax)},
      {"write-queue-commands-max", "N", "65536", "writes that wait for an entry; more are refused",
       SetNumber(&ServerOptions::write_queue_commands_max, 1, kQueueCommandsMax)},
      {"write-queue-bytes-max", "BYTES", "64MiB",
       "bytes of these writes; more are refused, and in any case more than an eighth of "
       "memory-bytes-max",
       SetBytesBetween(&ServerOptions::write_queue_bytes_max, kCommandBytes, kQueueBytesMax)},
      {"write-queue-wait-ms-max", "MS", "30000",
       "milliseconds that a write waits for an entry; then it is refused",
       SetNumber(&ServerOptions::write_queue_wait_max, 10, kDayMs)},
  };
}

}  // namespace

const std::vector<ServerSetting>& ServerSettings() {
  static const std::vector<ServerSetting>* const kSettings = [] {
    auto* const all = new std::vector<ServerSetting>(IdentitySettings());
    for (ServerSetting& setting : LimitSettings()) all->push_back(std::move(setting));
    for (ServerSetting& setting : WriteSettings()) all->push_back(std::move(setting));
    return all;
  }();
  return *kSettings;
}

const ServerSetting* FindSetting(std::string_view name) {
  for (const ServerSetting& setting : ServerSettings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

SettingKind KindOf(const ServerSetting& setting) {
  if (setting.unit.empty()) return SettingKind::kFlag;
  if (setting.name == "peers") return SettingKind::kPeers;
  if (setting.unit == "BYTES") return SettingKind::kBytes;
  const std::string& text = setting.default_text;
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return digits ? SettingKind::kNumber : SettingKind::kText;
}

Result<std::map<uint64_t, std::string>> ParsePeers(std::string_view text) {
  std::map<uint64_t, std::string> peers;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view entry = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument("'" + std::string(entry) + "' is not of the form ID=HOST:PORT");
    }
    ASSIGN_OR_RETURN(const uint64_t id, ParseNumber(entry.substr(0, equals), 1, 1'000'000));
    ASSIGN_OR_RETURN(std::string address, ParseAddress(entry.substr(equals + 1)));
    RETURN_IF_ERROR(CheckReachable(address));
    for (const auto& [other_id, other_address] : peers) {
      if (other_id == id) return InvalidArgument("node " + std::to_string(id) + " is named twice");
      if (other_address == address) return InvalidArgument(address + " is named twice");
    }
    peers.emplace(id, std::move(address));
  }
  return peers;
}

Result<uint64_t> ParseBytes(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  int shift = unit.empty() ? 0 : -1;
  if (unit == "KiB") shift = 10;
  if (unit == "MiB") shift = 20;
  if (unit == "GiB") shift = 30;
  if (error != std::errc() || shift < 0 || number > (uint64_t{1} << 50 >> shift)) {
    return InvalidArgument("'" + std::string(text) +
                           "' is not a size such as 4096, 512KiB, 64MiB or 1GiB");
  }
  return number << shift;
}

Result<ServeOptions> DefaultServerSettings() {
  ServeOptions options;
  for (const ServerSetting& setting : ServerSettings()) {
    if (setting.default_text.empty()) continue;
    RETURN_IF_ERROR(setting.set(setting.default_text, &options));
  }
  return options;
}

Status CheckTogether(const server::ServerOptions& server) {
  if (server.election_ticks < 2 * server.heartbeat_ticks) {
    return InvalidArgument("election-timeout-ms must be at least twice heartbeat-ms");
  }
  if (server.maintenance_steps_max < server.request_steps_max) {
    return InvalidArgument("maintenance-steps-max must be at least request-steps-max");
  }
  // Past this Raft refuses what it is given, and a write that could have waited would be refused.
  constexpr size_t kInFlightBytesMax = 32 << 20;  // raft::Options::uncommitted_bytes_max
  if (server.batch_entries_in_flight_max > kInFlightBytesMax / server.batch_bytes_max) {
    return InvalidArgument(
        "batch-bytes-max times batch-entries-in-flight-max may be 32MiB: make one of them smaller");
  }
  return OkStatus();
}

Result<ServeOptions> ResolveServerSettings(const std::map<std::string, std::string>& flags,
                                           const std::string& config_path) {
  ASSIGN_OR_RETURN(ServeOptions options, DefaultServerSettings());
  ConfigFile file;
  if (!config_path.empty()) {
    ASSIGN_OR_RETURN(file, ReadConfigFile(config_path, &options));
    std::string problems;
    for (const std::string& problem : file.problems) {
      problems += (problems.empty() ? "" : "\n") + problem;
    }
    if (!problems.empty()) return InvalidArgument(problems);
  }
  for (const auto& [name, value] : flags) {
    Status status = FindSetting(name)->set(value, &options);
    if (!status.ok()) return std::move(status).Prefixed("--" + name);
  }
  RETURN_IF_ERROR(CheckTogether(options.server));
  options.server.settings_text = EffectiveConfigText(file, config_path, flags);
  return options;
}

}  // namespace cairn::tools
