#include "tools/json_log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>

#include "base/log.h"
#include "tools/utf8.h"

namespace cairn::tools {
namespace {

void Append(std::string_view text, spdlog::memory_buf_t* out) {
  out->append(text.data(), text.data() + text.size());
}

// Appends the text as it stands within a JSON string, with '?' for each byte that is not UTF-8.
void AppendEscaped(std::string_view text, spdlog::memory_buf_t* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  while (!text.empty()) {
    const Utf8Character character = DecodeUtf8(text);
    const std::string_view bytes = text.substr(0, character.bytes);
    text.remove_prefix(character.bytes);
    if (!character.valid) {
      out->push_back('?');
    } else if (character.code == '"' || character.code == '\\') {
      out->push_back('\\');
      out->push_back(bytes.front());
    } else if (character.code < 0x20) {
      for (const char each :
           {'\\', 'u', '0', '0', kHex[character.code >> 4], kHex[character.code & 15]}) {
        out->push_back(each);
      }
    } else {
      Append(bytes, out);
    }
  }
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    Append("{\"time\":\"", &out);
    time_.format(message, out);
    Append("\",\"level\":\"", &out);
    const auto level = spdlog::level::to_string_view(message.level);
    Append({level.data(), level.size()}, &out);
    Append("\",\"name\":\"", &out);
    AppendEscaped({message.logger_name.data(), message.logger_name.size()}, &out);
    Append("\",\"message\":\"", &out);
    AppendEscaped({message.payload.data(), message.payload.size()}, &out);
    Append("\"}\n", &out);
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }

 private:
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%eZ", spdlog::pattern_time_type::utc, ""};
};

}  // namespace

bool InitJsonLog(const std::string& name, const std::string& level) {
  if (!InitLog(name, level)) return false;
  UseJsonFormat(spdlog::default_logger_raw());
  return true;
}

void UseJsonFormat(spdlog::logger* logger) {
  logger->set_formatter(std::make_unique<JsonFormatter>());
}

}  // namespace cairn::tools
