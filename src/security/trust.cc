#include "security/trust.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

namespace cairn::security {
namespace {

// Of what a peer sends along.
constexpr size_t kChainMax = 8;
constexpr size_t kChainBytesMax = 16 << 10;
constexpr int kDepthMax = 4;
// At least 112 bits: RSA of 2048 bits, P-256, no SHA-1.
constexpr int kSecurityLevel = 2;

constexpr size_t kWordsMax = 200;

// The holder chooses the bytes of a certificate, and the text goes into logs and to terminals.
std::string Printable(std::string text) {
  if (text.size() > kWordsMax) text.replace(kWordsMax, std::string::npos, "...");
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~' || c == '"'; }, '?');
  return text;
}

Status Refused(std::string why) { return {StatusCode::kUnauthenticated, std::move(why)}; }

// The name among the URIs of a certificate. An error if it names several, or misspells one.
Result<std::optional<CertifiedName>> NameIn(const X509* leaf) {
  std::optional<CertifiedName> name;
  for (const std::string& uri : NamesOf(leaf, GEN_URI)) {
    if (!uri.starts_with(kNameScheme)) continue;
    const std::optional<CertifiedName> parsed = ParseUri(uri);
    if (!parsed) return Refused("the certificate has the malformed name " + Printable(uri));
    if (name) return Refused("the certificate names more than one node or principal");
    name = parsed;
  }
  return name;
}

std::string SubjectOf(const X509* leaf) {
  std::string common = Printable(CommonNameOf(leaf));
  return common.empty() ? "serial " + SerialOf(leaf) : "\"" + common + "\"";
}

Status InWords(int error, X509* at, const std::string& subject, int64_t now_s) {
  const std::string its = "the certificate of " + subject;
  switch (error) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return Refused(its +
                     " is signed by itself: it needs one of the site's authority "
                     "('cairn cert issue')");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return Refused(its +
                     " is not signed by an authority in ca.crt: it is of another site, or "
                     "ca.crt is");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Refused(its + " expired at " + TimeText(at == nullptr ? 0 : ExpiryOf(at)) +
                     ", and it is " + TimeText(now_s) + " here: renew it ('cairn cert renew')");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Refused(its + " is not valid yet, and it is " + TimeText(now_s) +
                     " here: is the clock right? ('cairn cert' makes certificates that begin in "
                     "1970)");
    case X509_V_ERR_INVALID_PURPOSE:
      return Refused(its +
                     " is not for this use: a node's is for servers and clients, a "
                     "principal's for clients alone");
    default: return Refused(its + " is refused: " + X509_verify_cert_error_string(error));
  }
}

}  // namespace

Result<std::unique_ptr<const Trust>> Trust::Make(std::string_view authorities,
                                                 std::string_view revoked) {
  std::unique_ptr<Trust> trust(new Trust());
  trust->store_.reset(X509_STORE_new());
  ASSIGN_OR_RETURN(const std::vector<CertificatePtr> all, ParseCertificates(authorities));
  for (const CertificatePtr& authority : all) {
    if (X509_check_ca(authority.get()) == 0) {
      return InvalidArgument(SubjectOf(authority.get()) +
                             " is not the certificate of an authority");
    }
    if (X509_STORE_add_cert(trust->store_.get(), authority.get()) != 1) {
      return OpenSslError("cannot take " + SubjectOf(authority.get()));
    }
  }
  // An authority below the root is trusted by itself too.
  X509_STORE_set_flags(trust->store_.get(), X509_V_FLAG_PARTIAL_CHAIN);
  if (revoked.empty()) return std::unique_ptr<const Trust>(std::move(trust));
  ASSIGN_OR_RETURN(trust->revoked_, ParseCrls(revoked));
  for (const CrlPtr& list : trust->revoked_) {
    const bool is_signed =
        std::any_of(all.begin(), all.end(), [&](const CertificatePtr& authority) {
          return X509_NAME_cmp(X509_CRL_get_issuer(list.get()),
                               X509_get_subject_name(authority.get())) == 0 &&
                 X509_CRL_verify(list.get(), X509_get0_pubkey(authority.get())) == 1;
        });
    ERR_clear_error();
    if (!is_signed)
      return InvalidArgument("a revocation list is signed by none of the authorities");
  }
  return std::unique_ptr<const Trust>(std::move(trust));
}

Result<Verified> Trust::Verify(std::string_view leaf, std::string_view chain, Role role,
                               int64_t now_s) const {
  Result<std::vector<CertificatePtr>> first = ParseCertificates(leaf);
  if (!first.ok()) return Refused("the certificate " + first.status().message());
  Verified verified;
  verified.leaf = std::move(first->front());
  std::vector<CertificatePtr> further;
  // Looked at before it is parsed: anyone may send a chain.
  if (chain.size() > kChainBytesMax) return Refused("the chain of certificates is too long");
  if (!chain.empty()) {
    Result<std::vector<CertificatePtr>> parsed = ParseCertificates(chain);
    if (!parsed.ok()) return Refused("the chain of certificates " + parsed.status().message());
    if (parsed->size() > kChainMax) return Refused("the chain of certificates is too long");
    further = *std::move(parsed);
  }
  X509* const certificate = verified.leaf.get();
  ASSIGN_OR_RETURN(verified.name, NameIn(certificate));
  verified.subject = verified.name ? security::InWords(*verified.name) : SubjectOf(certificate);
  verified.serial = SerialOf(certificate);

  struct FreeStack {
    void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }  // the stack alone
  };
  const std::unique_ptr<STACK_OF(X509), FreeStack> untrusted(sk_X509_new_null());
  for (const CertificatePtr& one : further) sk_X509_push(untrusted.get(), one.get());
  const std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_.get(), certificate, untrusted.get()) != 1) {
    return OpenSslError("cannot judge a certificate");
  }
  X509_VERIFY_PARAM* const rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(rules, now_s);
  X509_VERIFY_PARAM_set_depth(rules, kDepthMax);
  X509_VERIFY_PARAM_set_auth_level(rules, kSecurityLevel);
  X509_VERIFY_PARAM_set_purpose(
      rules, role == Role::kServer ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) {
    return InWords(X509_STORE_CTX_get_error(context.get()),
                   X509_STORE_CTX_get_current_cert(context.get()), verified.subject, now_s);
  }
  STACK_OF(X509)* const standing = X509_STORE_CTX_get0_chain(context.get());
  RETURN_IF_ERROR(CheckRevocation(standing, verified.subject));
  verified.expires_s = ExpiryOf(certificate);
  for (int i = 1; i < sk_X509_num(standing); ++i) {
    verified.expires_s = std::min(verified.expires_s, ExpiryOf(sk_X509_value(standing, i)));
  }
  return verified;
}

Status Trust::CheckRevocation(STACK_OF(X509) * chain, const std::string& subject) const {
  for (const CrlPtr& list : revoked_) {
    for (int i = 0; i < sk_X509_num(chain); ++i) {
      X509* const one = sk_X509_value(chain, i);
      if (X509_NAME_cmp(X509_CRL_get_issuer(list.get()), X509_get_issuer_name(one)) != 0) continue;
      X509_REVOKED* entry = nullptr;
      // 2: the list takes the certificate back from those that an older list revokes.
      if (X509_CRL_get0_by_cert(list.get(), &entry, one) != 1) continue;
      return Refused("the certificate of " + subject + " (serial " + SerialOf(one) +
                     ") is revoked: issue another one ('cairn cert issue')");
    }
  }
  return OkStatus();
}

}  // namespace cairn::security
