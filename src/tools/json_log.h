// The log as JSON, one object a line, for collectors:
//
//   {"time":"2026-11-30T18:00:00.123Z","level":"info","name":"node 2","message":"became leader term=3"}
//
// It is still the log for people: the text of a message is never an API.
#pragma once

#include <spdlog/logger.h>

#include <string>

namespace cairn::tools {

// As InitLog (base/log.h), with this format.
bool InitJsonLog(const std::string& name, const std::string& level);

// Gives this format to the sinks of a logger.
void UseJsonFormat(spdlog::logger* logger);

}  // namespace cairn::tools
