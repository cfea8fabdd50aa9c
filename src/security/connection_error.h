// The words of gRPC about a connection that was not made, in those of Cairn.
#pragma once

#include <string>

namespace cairn::security {

// What the person who calls can do about it, if the error is about TLS. Other texts stay.
std::string ConnectionErrorInWords(const std::string& grpc_message);

}  // namespace cairn::security
