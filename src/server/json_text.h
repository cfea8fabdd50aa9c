// Messages as JSON, with the names of their fields.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "base/result.h"

namespace cairn::server {

// With a line end. Fields that are zero or empty are there, too.
Result<std::string> JsonText(const google::protobuf::Message& message);

}  // namespace cairn::server
