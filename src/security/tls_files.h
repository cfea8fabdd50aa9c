// TlsFiles: what a process shows and trusts, as it lies in a directory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::security {

// The names in the directory. They are those of secrets in Kubernetes and of cert-manager.
inline constexpr char kAuthoritiesFile[] = "ca.crt";
inline constexpr char kCertificateFile[] = "tls.crt";
inline constexpr char kKeyFile[] = "tls.key";
inline constexpr char kRevokedFile[] = "ca.crl";

struct TlsFiles {
  std::string authorities;  // PEM
  std::string certificate;  // PEM, and the certificates that it stands on; empty: none
  std::string key;          // PEM; empty exactly if `certificate` is
  std::string revoked;      // PEM; empty: none
  bool operator==(const TlsFiles&) const = default;
};

// Reads the files of a directory. tls.crt and tls.key may be missing together, and ca.crl may be
// missing. FAILED_PRECONDITION or INVALID_ARGUMENT, in words for the operator: a file is missing,
// does not parse or is too large, the key does not belong to the certificate, others may read the
// key, or others may change a file.
Result<TlsFiles> ReadTlsFiles(const std::string& directory);

// Distinguishes what lies in the directory, without reading it: changes whenever a file does.
std::string StampOf(const std::string& directory);

// A file that only its owner may read. FAILED_PRECONDITION with advice if others may.
Result<std::string> ReadSecretFile(const std::string& path);

// Writes a file that takes the place of an older one at once. `secret`: only its owner may read it,
// from the moment that it exists. All others may read other files.
Status WriteTlsFile(const std::string& path, std::string_view data, bool secret);

}  // namespace cairn::security
