#include "security/x509.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <utility>

namespace cairn::security {
namespace {

// A key with a passphrase does not ask for it at the terminal of the process.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writes*/, void* /*data*/) { return -1; }

Result<BioPtr> Reader(std::string_view pem) {
  if (pem.size() > kPemBytesMax) {
    return InvalidArgument("the PEM text has more than " + std::to_string(kPemBytesMax >> 10) +
                           " KiB");
  }
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

template <class Ptr, class Read>
Result<std::vector<Ptr>> ParseAll(std::string_view pem, const std::string& what, Read read) {
  ASSIGN_OR_RETURN(const BioPtr bio, Reader(pem));
  std::vector<Ptr> all;
  for (;;) {
    Ptr one(read(bio.get(), nullptr, NoPassphrase, nullptr));
    if (one == nullptr) break;
    if (all.size() == kPemObjectsMax) {
      return InvalidArgument("more than " + std::to_string(kPemObjectsMax) + " of type " + what);
    }
    all.push_back(std::move(one));
  }
  // The end of the text is reported as an error too.
  const unsigned long error = ERR_peek_last_error();  // NOLINT: OpenSSL's type
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (at_end && !all.empty()) {
    ERR_clear_error();
    return all;
  }
  if (at_end) {
    ERR_clear_error();
    return InvalidArgument("holds no " + what + " in PEM");
  }
  return OpenSslError("a " + what + " does not parse");
}

}  // namespace

Status OpenSslError(const std::string& what) {
  const unsigned long error = ERR_get_error();  // NOLINT: OpenSSL's type
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(error);
  return InvalidArgument(what + ": " + (reason == nullptr ? "unknown reason" : reason));
}

Result<std::vector<CertificatePtr>> ParseCertificates(std::string_view pem) {
  return ParseAll<CertificatePtr>(pem, "certificate", PEM_read_bio_X509);
}

Result<std::vector<CrlPtr>> ParseCrls(std::string_view pem) {
  return ParseAll<CrlPtr>(pem, "revocation list", PEM_read_bio_X509_CRL);
}

Result<KeyPtr> ParseKey(std::string_view pem) {
  ASSIGN_OR_RETURN(const BioPtr bio, Reader(pem));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return OpenSslError("holds no private key without a passphrase in PEM");
  return key;
}

std::string ToPem(X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: OpenSSL's type
  return {data, static_cast<size_t>(size)};
}

std::vector<std::string> NamesOf(const X509* certificate, int type) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, FreeBy<GENERAL_NAMES_free>> all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (all == nullptr) return names;
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    int found = 0;
    void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all.get(), i), &found);
    if (found != type) continue;
    const auto* const text = static_cast<ASN1_STRING*>(value);
    const auto* const bytes = ASN1_STRING_get0_data(text);
    const auto size = static_cast<size_t>(ASN1_STRING_length(text));
    if (type != GEN_IPADD) {
      names.emplace_back(reinterpret_cast<const char*>(bytes), size);
      continue;
    }
    char address[INET6_ADDRSTRLEN] = {};
    const int family = size == sizeof(in_addr) ? AF_INET : AF_INET6;
    if (size != sizeof(in_addr) && size != sizeof(in6_addr)) continue;
    if (inet_ntop(family, bytes, address, sizeof address) != nullptr) names.emplace_back(address);
  }
  return names;
}

bool IsForHost(X509* certificate, const std::string& host) {
  in6_addr address;
  if (inet_pton(AF_INET, host.c_str(), &address) == 1 ||
      inet_pton(AF_INET6, host.c_str(), &address) == 1) {
    return X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
  }
  return X509_check_host(certificate, host.data(), host.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
}

std::string SerialOf(const X509* certificate) {
  const std::unique_ptr<BIGNUM, FreeBy<BN_free>> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (number == nullptr) return "?";
  char* const text = BN_bn2hex(number.get());
  std::string serial = text == nullptr ? "?" : text;
  OPENSSL_free(text);
  return serial;
}

std::string CommonNameOf(const X509* certificate) {
  char text[128] = {};
  if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text,
                                sizeof text) < 0) {
    return "";
  }
  return text;
}

int64_t ExpiryOf(const X509* certificate) {
  tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return 0;
  return timegm(&parts);
}

std::string TimeText(int64_t seconds) {
  const time_t at = seconds;
  tm parts{};
  char text[64] = {};
  if (gmtime_r(&at, &parts) == nullptr) return std::to_string(seconds);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

}  // namespace cairn::security
