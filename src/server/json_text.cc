#include "server/json_text.h"

#include <google/protobuf/util/json_util.h>

namespace cairn::server {

Result<std::string> JsonText(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!printed.ok()) return Internal("this can not be told as JSON");
  return json + "\n";
}

}  // namespace cairn::server
