// Trust: judges certificates by the authorities that a site trusts, and by their revocation lists.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "security/certified_name.h"
#include "security/x509.h"

namespace cairn::security {

// A certificate that was found good.
struct Verified {
  std::optional<CertifiedName> name;  // none: the certificate names nobody of a cluster
  std::string subject;                // for people: the name in words, or the common name
  std::string serial;
  int64_t expires_s = 0;  // of the certificate that expires first, of those that it stands on
  CertificatePtr leaf;
};

// Immutable, so thread-safe.
class Trust {
 public:
  // `authorities`: PEM of the certificates that are trusted, each by itself. `revoked`: PEM of
  // revocation lists; empty: none. Each list must be signed by one of the authorities.
  // INVALID_ARGUMENT says what is wrong.
  static Result<std::unique_ptr<const Trust>> Make(std::string_view authorities,
                                                   std::string_view revoked);

  enum class Role : uint8_t { kServer, kClient };  // of the holder of the certificate
  // UNAUTHENTICATED says what is wrong with the certificate, and what to do. `chain` are further
  // certificates in PEM that the holder sent. The time is the caller's, in seconds since 1970.
  //
  // The end of a revocation list's own validity does not count: a box that nobody brings a new list
  // must go on, and what the old list revokes stays revoked.
  Result<Verified> Verify(std::string_view leaf, std::string_view chain, Role role,
                          int64_t now_s) const;

 private:
  Trust() = default;
  Status CheckRevocation(STACK_OF(X509) * chain, const std::string& subject) const;

  std::unique_ptr<X509_STORE, FreeBy<X509_STORE_free>> store_;
  std::vector<CrlPtr> revoked_;
};

}  // namespace cairn::security
