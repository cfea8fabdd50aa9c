#include "security/authority.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include "base/file_system.h"
#include "base/ids.h"
#include "security/tls_files.h"

namespace cairn::security {
namespace {

constexpr int64_t kDaySeconds = 24 * 3600;
constexpr int64_t kRootDays = 30 * 365;
constexpr int64_t kIssuingDays = 15 * 365;
constexpr size_t kSerialBytes = 16;
constexpr size_t kIssuedMax = 100'000;

Status Failed(const std::string& what) {
  const Status why = OpenSslError(what);
  return Internal(why.message());
}

Result<KeyPtr> NewKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Failed("cannot make a key");
  return key;
}

Result<std::string> ToPem(EVP_PKEY* key) {
  const BioPtr bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Failed("cannot write a key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: OpenSSL's type
  return std::string(data, static_cast<size_t>(size));
}

Status AddExtension(X509* certificate, X509* issuer, int type, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, type, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Failed("cannot write " + value + " into a certificate");
  }
  return OkStatus();
}

// What all certificates have. `issuer` is null if the certificate signs itself.
Result<CertificatePtr> Blank(const std::string& common_name, EVP_PKEY* key, X509* issuer,
                             int64_t expires_s) {
  CertificatePtr certificate(X509_new());
  X509* const made = certificate.get();
  unsigned char serial[kSerialBytes];
  if (RAND_bytes(serial, sizeof serial) != 1) return Failed("no random numbers");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);  // positive, and never short
  const std::unique_ptr<BIGNUM, FreeBy<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  X509_NAME* const subject = X509_get_subject_name(made);
  const std::string_view text = common_name;
  const bool good = X509_set_version(made, X509_VERSION_3) == 1 &&
                    BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(made)) != nullptr &&
                    ASN1_TIME_set(X509_getm_notBefore(made), 0) != nullptr &&
                    ASN1_TIME_set(X509_getm_notAfter(made), expires_s) != nullptr &&
                    X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
                                               reinterpret_cast<const unsigned char*>(text.data()),
                                               static_cast<int>(text.size()), -1, 0) == 1 &&
                    X509_set_issuer_name(
                        made, issuer == nullptr ? subject : X509_get_subject_name(issuer)) == 1 &&
                    X509_set_pubkey(made, key) == 1;
  if (!good) return Failed("cannot make a certificate");
  RETURN_IF_ERROR(AddExtension(made, made, NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(made, issuer == nullptr ? made : issuer,
                               NID_authority_key_identifier, "keyid:always"));
  return certificate;
}

Status Sign(X509* certificate, EVP_PKEY* key) {
  return X509_sign(certificate, key, EVP_sha256()) > 0 ? OkStatus() : Failed("cannot sign");
}

Result<CertificatePtr> NewAuthority(const std::string& name, EVP_PKEY* key, X509* issuer,
                                    EVP_PKEY* issuer_key, int64_t expires_s) {
  ASSIGN_OR_RETURN(CertificatePtr made, Blank(name, key, issuer, expires_s));
  RETURN_IF_ERROR(
      AddExtension(made.get(), made.get(), NID_basic_constraints,
                   issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(
      AddExtension(made.get(), made.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(Sign(made.get(), issuer_key));
  return made;
}

// "URI:cairn://...,DNS:hub1.local,IP:10.0.0.1". A host may hold nothing that OpenSSL reads as
// another name.
Result<std::string> AlternativeNames(const Authority::Request& request) {
  std::string names = "URI:" + ToUri(request.name);
  for (const std::string& host : request.hosts) {
    in6_addr address;
    if (inet_pton(AF_INET, host.c_str(), &address) == 1 ||
        inet_pton(AF_INET6, host.c_str(), &address) == 1) {
      names += ",IP:" + host;
      continue;
    }
    const bool plain =
        !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '.' || c == '-' || c == '_';
        });
    if (!plain) return InvalidArgument("'" + host + "' is neither a name nor an address of a host");
    names += ",DNS:" + host;
  }
  return names;
}

std::string LabelOf(const CertifiedName& name) {
  return name.is_node() ? "node " + std::to_string(name.node_id) : name.principal;
}

Result<std::string> ReadText(const std::string& path) {
  return ReadWholeFile(PosixFileSystem(), path, kPemBytesMax);
}

}  // namespace

Result<Authority> Authority::Init(const std::string& directory, uint64_t cluster_id,
                                  const Clock& clock) {
  FileSystem& fs = PosixFileSystem();
  RETURN_IF_ERROR(fs.CreateDirectories(directory + "/issued"));
  if (::chmod(directory.c_str(), 0700) != 0) return ErrnoStatus("chmod " + directory, errno);
  Authority authority(directory, clock);
  ASSIGN_OR_RETURN(authority.lock_, LockedFile::Acquire(directory + "/lock"));
  // root.key may have been taken to a safe place.
  for (const char* name :
       {"cluster", "issuing.key", "issuing.crt", "root.crt", "root.key", "ca.crl"}) {
    ASSIGN_OR_RETURN(const bool exists, fs.Exists(directory + "/" + name));
    if (!exists) continue;
    return AlreadyExists(directory + " holds an authority already, or a part of one: " + name);
  }
  while (cluster_id == 0) {
    if (RAND_bytes(reinterpret_cast<unsigned char*>(&cluster_id), sizeof cluster_id) != 1) {
      return Failed("no random numbers");
    }
  }
  authority.cluster_id_ = cluster_id;
  RETURN_IF_ERROR(authority.MakeKeys());
  RETURN_IF_ERROR(WriteTlsFile(directory + "/ca.crt", authority.authorities_, /*secret=*/false));
  RETURN_IF_ERROR(authority.WriteRevoked({}));
  RETURN_IF_ERROR(WriteTlsFile(directory + "/cluster", ClusterIdText(cluster_id) + "\n",
                               /*secret=*/false));
  return authority;
}

Status Authority::MakeKeys() {
  const std::string site = "Cairn site " + ClusterIdText(cluster_id_);
  const int64_t now_s = clock_->WallNowMs() / 1000;
  ASSIGN_OR_RETURN(const KeyPtr root_key, NewKey());
  ASSIGN_OR_RETURN(const CertificatePtr root,
                   NewAuthority(site + " root", root_key.get(), nullptr, root_key.get(),
                                now_s + kRootDays * kDaySeconds));
  ASSIGN_OR_RETURN(key_, NewKey());
  ASSIGN_OR_RETURN(certificate_, NewAuthority(site + " issuing", key_.get(), root.get(),
                                              root_key.get(), now_s + kIssuingDays * kDaySeconds));
  const std::string issuing_pem = security::ToPem(certificate_.get());
  const std::string root_pem = security::ToPem(root.get());
  authorities_ = issuing_pem + root_pem;
  ASSIGN_OR_RETURN(const std::string root_secret, ToPem(root_key.get()));
  ASSIGN_OR_RETURN(const std::string issuing_secret, ToPem(key_.get()));
  RETURN_IF_ERROR(WriteTlsFile(directory_ + "/root.key", root_secret, /*secret=*/true));
  RETURN_IF_ERROR(WriteTlsFile(directory_ + "/issuing.key", issuing_secret, /*secret=*/true));
  RETURN_IF_ERROR(WriteTlsFile(directory_ + "/issuing.crt", issuing_pem, /*secret=*/false));
  return WriteTlsFile(directory_ + "/root.crt", root_pem, /*secret=*/false);
}

Result<Authority> Authority::Open(const std::string& directory, const Clock& clock) {
  Authority authority(directory, clock);
  const Result<std::string> cluster = ReadText(directory + "/cluster");
  if (!cluster.ok()) {
    return FailedPrecondition(directory + " holds no authority ('cairn cert init' makes one): " +
                              cluster.status().message());
  }
  ASSIGN_OR_RETURN(authority.lock_, LockedFile::Acquire(directory + "/lock"));
  ASSIGN_OR_RETURN(authority.cluster_id_, ParseClusterId(cluster->substr(0, cluster->find('\n'))));
  ASSIGN_OR_RETURN(authority.authorities_, ReadText(directory + "/ca.crt"));
  ASSIGN_OR_RETURN(const std::string certificate, ReadText(directory + "/issuing.crt"));
  ASSIGN_OR_RETURN(std::vector<CertificatePtr> parsed, ParseCertificates(certificate));
  authority.certificate_ = std::move(parsed.front());
  ASSIGN_OR_RETURN(const std::string key, ReadSecretFile(directory + "/issuing.key"));
  ASSIGN_OR_RETURN(authority.key_, ParseKey(key));
  return authority;
}

Result<Authority::Issued> Authority::Issue(const Request& request, const std::string& out) {
  const int64_t expires_s = std::min(clock_->WallNowMs() / 1000 + request.days * kDaySeconds,
                                     ExpiryOf(certificate_.get()));
  ASSIGN_OR_RETURN(const std::string names, AlternativeNames(request));
  ASSIGN_OR_RETURN(const KeyPtr key, NewKey());
  ASSIGN_OR_RETURN(const CertificatePtr made,
                   Blank(LabelOf(request.name), key.get(), certificate_.get(), expires_s));
  RETURN_IF_ERROR(AddExtension(made.get(), made.get(), NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(made.get(), made.get(), NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(made.get(), made.get(), NID_ext_key_usage,
                               request.name.is_node() ? "serverAuth,clientAuth" : "clientAuth"));
  RETURN_IF_ERROR(AddExtension(made.get(), made.get(), NID_subject_alt_name, names));
  RETURN_IF_ERROR(Sign(made.get(), key_.get()));
  const std::string pem = security::ToPem(made.get());
  const std::string serial = SerialOf(made.get());
  ASSIGN_OR_RETURN(const std::string secret, ToPem(key.get()));
  // Noted first: what was given out can always be revoked.
  RETURN_IF_ERROR(WriteTlsFile(directory_ + "/issued/" + serial + ".crt", pem, /*secret=*/false));
  RETURN_IF_ERROR(PosixFileSystem().CreateDirectories(out));
  ASSIGN_OR_RETURN(const std::string revoked, ReadText(directory_ + "/ca.crl"));
  RETURN_IF_ERROR(WriteTlsFile(out + "/" + kAuthoritiesFile, authorities_, /*secret=*/false));
  RETURN_IF_ERROR(WriteTlsFile(out + "/" + kRevokedFile, revoked, /*secret=*/false));
  RETURN_IF_ERROR(WriteTlsFile(out + "/" + kKeyFile, secret, /*secret=*/true));
  RETURN_IF_ERROR(WriteTlsFile(out + "/" + kCertificateFile,
                               pem + security::ToPem(certificate_.get()), /*secret=*/false));
  return Issued{request.name, request.hosts, serial, expires_s, false};
}

Result<std::vector<Authority::Issued>> Authority::List() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> files,
                   PosixFileSystem().List(directory_ + "/issued"));
  if (files.size() > kIssuedMax) return ResourceExhausted("too many certificates were issued");
  ASSIGN_OR_RETURN(const std::vector<std::string> revoked, RevokedSerials());
  std::vector<Issued> all;
  for (const std::string& file : files) {
    if (!file.ends_with(".crt")) continue;
    const std::string path = directory_ + "/issued/" + file;
    ASSIGN_OR_RETURN(const std::string pem, ReadText(path));
    Result<std::vector<CertificatePtr>> parsed = ParseCertificates(pem);
    if (!parsed.ok()) return Status(parsed.status()).Prefixed(path);
    const X509* const one = parsed->front().get();
    Issued issued;
    for (const std::string& uri : NamesOf(one, GEN_URI)) {
      if (const std::optional<CertifiedName> name = ParseUri(uri)) issued.name = *name;
    }
    issued.hosts = NamesOf(one, GEN_DNS);
    for (std::string& address : NamesOf(one, GEN_IPADD)) issued.hosts.push_back(std::move(address));
    issued.serial = SerialOf(one);
    issued.expires_s = ExpiryOf(one);
    issued.revoked = std::find(revoked.begin(), revoked.end(), issued.serial) != revoked.end();
    all.push_back(std::move(issued));
  }
  std::stable_sort(all.begin(), all.end(), [](const Issued& a, const Issued& b) {
    return std::tie(a.name.node_id, a.name.principal, a.expires_s) <
           std::tie(b.name.node_id, b.name.principal, b.expires_s);
  });
  return all;
}

Status Authority::Revoke(const std::string& serial) {
  ASSIGN_OR_RETURN(const std::vector<Issued> all, List());
  // Also those whose file in issued/ is gone.
  ASSIGN_OR_RETURN(std::vector<std::string> revoked, RevokedSerials());
  const bool found =
      std::any_of(all.begin(), all.end(), [&](const Issued& one) { return one.serial == serial; });
  if (std::find(revoked.begin(), revoked.end(), serial) == revoked.end()) {
    revoked.push_back(serial);
  }
  if (!found) return NotFound("no certificate with the serial number " + serial + " was issued");
  RETURN_IF_ERROR(WriteRevoked(revoked));
  return GiveOutRevoked();
}

// The TLS directories beside hold copies. An older one must not be brought to a node later.
Status Authority::GiveOutRevoked() const {
  FileSystem& fs = PosixFileSystem();
  ASSIGN_OR_RETURN(const std::string list, ReadText(directory_ + "/ca.crl"));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(directory_));
  for (const std::string& name : names) {
    if (!name.starts_with("node-") && !name.starts_with("client-")) continue;
    const std::string copy = directory_ + "/" + name + "/" + kRevokedFile;
    ASSIGN_OR_RETURN(const bool exists, fs.Exists(copy));
    if (exists) RETURN_IF_ERROR(WriteTlsFile(copy, list, /*secret=*/false));
  }
  return OkStatus();
}

Result<std::vector<std::string>> Authority::RevokedSerials() const {
  ASSIGN_OR_RETURN(const std::string pem, ReadText(directory_ + "/ca.crl"));
  ASSIGN_OR_RETURN(const std::vector<CrlPtr> lists, ParseCrls(pem));
  std::vector<std::string> serials;
  STACK_OF(X509_REVOKED)* const entries = X509_CRL_get_REVOKED(lists.front().get());
  for (int i = 0; i < sk_X509_REVOKED_num(entries); ++i) {
    const ASN1_INTEGER* const number =
        X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, i));
    const std::unique_ptr<BIGNUM, FreeBy<BN_free>> serial(ASN1_INTEGER_to_BN(number, nullptr));
    char* const text = BN_bn2hex(serial.get());
    serials.emplace_back(text == nullptr ? "" : text);
    OPENSSL_free(text);
  }
  return serials;
}

Status Authority::WriteRevoked(const std::vector<std::string>& serials) const {
  const int64_t now_s = clock_->WallNowMs() / 1000;
  using TimePtr = std::unique_ptr<ASN1_TIME, FreeBy<ASN1_TIME_free>>;
  const TimePtr now(ASN1_TIME_set(nullptr, now_s));
  const TimePtr next(ASN1_TIME_set(nullptr, now_s + kIssuingDays * kDaySeconds));
  const CrlPtr list(X509_CRL_new());
  X509_CRL* const made = list.get();
  bool good = X509_CRL_set_version(made, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(made, X509_get_subject_name(certificate_.get())) == 1 &&
              X509_CRL_set1_lastUpdate(made, now.get()) == 1 &&
              X509_CRL_set1_nextUpdate(made, next.get()) == 1;
  for (const std::string& serial : serials) {
    BIGNUM* parsed = nullptr;
    BN_hex2bn(&parsed, serial.c_str());
    const std::unique_ptr<BIGNUM, FreeBy<BN_free>> number(parsed);
    const std::unique_ptr<ASN1_INTEGER, FreeBy<ASN1_INTEGER_free>> integer(
        BN_to_ASN1_INTEGER(number.get(), nullptr));
    std::unique_ptr<X509_REVOKED, FreeBy<X509_REVOKED_free>> entry(X509_REVOKED_new());
    good = good && X509_REVOKED_set_serialNumber(entry.get(), integer.get()) == 1 &&
           X509_REVOKED_set_revocationDate(entry.get(), now.get()) == 1;
    if (good && X509_CRL_add0_revoked(made, entry.get()) == 1) (void)entry.release();
  }
  good = good && X509_CRL_sort(made) == 1 && X509_CRL_sign(made, key_.get(), EVP_sha256()) > 0;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!good || PEM_write_bio_X509_CRL(bio.get(), made) != 1) {
    return Failed("cannot make the list of revoked certificates");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT: OpenSSL's type
  return WriteTlsFile(directory_ + "/ca.crl", {data, static_cast<size_t>(size)},
                      /*secret=*/false);
}

}  // namespace cairn::security
