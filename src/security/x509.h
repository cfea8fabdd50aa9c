// Certificates, keys and revocation lists: OpenSSL's objects with owners, and what is read from
// them.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cairn::security {

template <auto kFree>
struct FreeBy {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, FreeBy<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, FreeBy<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, FreeBy<X509_CRL_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;

// The largest PEM text that is parsed, and the most objects in it.
inline constexpr size_t kPemBytesMax = 256 << 10;
inline constexpr size_t kPemObjectsMax = 64;

// "what: the reason that OpenSSL gives". Empties OpenSSL's queue of errors, which belongs to the
// thread.
Status OpenSslError(const std::string& what);

// All certificates of a PEM text, in order; at least one. INVALID_ARGUMENT otherwise.
Result<std::vector<CertificatePtr>> ParseCertificates(std::string_view pem);
Result<std::vector<CrlPtr>> ParseCrls(std::string_view pem);
// An unencrypted private key.
Result<KeyPtr> ParseKey(std::string_view pem);
std::string ToPem(X509* certificate);

// The subject alternative names of one type, such as GEN_URI or GEN_DNS. Addresses are text.
std::vector<std::string> NamesOf(const X509* certificate, int type);
// True if the certificate is for this host: a name or an address, without brackets.
bool IsForHost(X509* certificate, const std::string& host);
// Upper-case hexadecimal digits.
std::string SerialOf(const X509* certificate);
std::string CommonNameOf(const X509* certificate);
// Seconds since 1970; 0, which is past, if the certificate's time does not parse.
int64_t ExpiryOf(const X509* certificate);
// "2027-01-31 12:00:00 UTC"
std::string TimeText(int64_t seconds);

}  // namespace cairn::security
