#include "tools/token.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "security/certified_name.h"
#include "security/tls_files.h"
#include "security/token.h"
#include "security/x509.h"
#include "tools/cluster_view.h"

namespace cairn::tools {
namespace {

using security::TokenClaims;

// Nodes take no token for it (server/token_judge.h).
constexpr char kAdmin[] = "admin";

// 128 bits, so that no two tokens have the same.
std::string NewTokenId() {
  std::random_device random;
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    const uint32_t word = random();
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(word >> shift);
  }
  return security::ToHex(bytes);
}

// Of an open file: standard input, or one that holds a public key.
std::string ReadBounded(std::istream* in) {
  constexpr size_t kBytesMax = 64 << 10;
  std::string text(kBytesMax, '\0');
  in->read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in->gcount()));
  return text;
}

Result<std::string> PublicKeyIn(const std::string& path) {
  std::ifstream file(path);
  if (!file) return FailedPrecondition("cannot read " + path);
  Result<std::string> key = security::TokenKeyBytes(ReadBounded(&file));
  if (!key.ok()) return Status(key.status()).Prefixed(path);
  return key;
}

void Print(const TokenClaims& claims, std::ostream* out) {
  *out << "principal  " << claims.principal << "\n"
       << "role       " << (claims.role.empty() ? "(no limit)" : claims.role) << "\n"
       << "cluster    " << ClusterIdText(claims.cluster_id) << "\n"
       << "id         " << claims.id << "\n"
       << "key        " << claims.key << "\n"
       << "issued     " << security::TimeText(claims.issued_s) << "\n"
       << "expires    " << security::TimeText(claims.expires_s) << std::endl;
}

}  // namespace

Result<int64_t> ParseTtl(const std::string& text) {
  const Status bad =
      InvalidArgument("'" + text + "' is no time to live: write 30d, 12h, 90m or 60s");
  int64_t count = 0;
  const char* const last = text.data() + text.size() - (text.empty() ? 0 : 1);
  const auto [end, error] = std::from_chars(text.data(), last, count);
  if (text.empty() || error != std::errc() || end != last || count <= 0) return bad;
  int64_t unit_s = 0;
  switch (*last) {
    case 'd': unit_s = 24 * 3600; break;
    case 'h': unit_s = 3600; break;
    case 'm': unit_s = 60; break;
    case 's': unit_s = 1; break;
    default: return bad;
  }
  if (count > security::kTokenSecondsMax / unit_s) {
    return InvalidArgument("a token lives for at most 366 days");
  }
  return count * unit_s;
}

Status MakeTokenKey(const std::string& path, std::ostream* out) {
  for (const std::string& each : {path, path + ".pub"}) {
    if (::access(each.c_str(), F_OK) == 0) return FailedPrecondition(each + " is there already");
  }
  ASSIGN_OR_RETURN(const security::TokenKeyPair pair, security::NewTokenKey());
  RETURN_IF_ERROR(security::WriteTlsFile(path, pair.private_pem, /*secret=*/true));
  RETURN_IF_ERROR(security::WriteTlsFile(path + ".pub", pair.public_pem, /*secret=*/false));
  *out << "made " << path << " (0600: keep it so, and on no node) and " << path << ".pub\n"
       << "whoever has " << path << " can be every principal that was granted anything\n"
       << "let the cluster trust it: cairn token trust ADDR " << path << ".pub --id NAME"
       << std::endl;
  return OkStatus();
}

Status IssueToken(const TokenRequest& request, const Clock& clock, std::ostream* out) {
  TokenClaims claims;
  claims.key =
      request.key.empty() ? std::filesystem::path(request.key_file).stem().string() : request.key;
  claims.id = NewTokenId();
  claims.principal = request.principal;
  claims.role = request.role;
  RETURN_IF_ERROR(security::CheckPrincipal(claims.principal));
  if (claims.principal == kAdmin) {
    return InvalidArgument("no node takes a token of the principal admin: it has a certificate");
  }
  ASSIGN_OR_RETURN(claims.cluster_id, security::ParseClusterId(request.cluster));
  ASSIGN_OR_RETURN(const int64_t ttl_s, ParseTtl(request.ttl));
  claims.issued_s = clock.WallNowMs() / 1000;
  claims.expires_s = claims.issued_s + ttl_s;
  ASSIGN_OR_RETURN(const std::string key, security::ReadSecretFile(request.key_file));
  Result<std::string> token = security::SignToken(claims, key);
  if (!token.ok()) return Status(token.status()).Prefixed(request.key_file);
  if (request.out.empty()) {
    *out << *token << std::endl;
    return OkStatus();
  }
  RETURN_IF_ERROR(security::WriteTlsFile(request.out, *token + "\n", /*secret=*/true));
  Print(claims, out);
  *out << "in " << request.out << " (0600: keep it so)" << std::endl;
  return OkStatus();
}

Status InspectToken(const std::string& path, const std::string& key_file, const Clock& clock,
                    std::ostream* out) {
  std::string text;
  if (path.empty()) {
    text = ReadBounded(&std::cin);
  } else {
    ASSIGN_OR_RETURN(text, security::ReadSecretFile(path));
  }
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  ASSIGN_OR_RETURN(const security::ParsedToken token, security::ParseToken(text));
  Print(token.claims, out);
  if (!key_file.empty()) {
    ASSIGN_OR_RETURN(const std::string key, PublicKeyIn(key_file));
    if (!security::IsSignedBy(token, key)) {
      return FailedPrecondition("the key in " + key_file + " has not signed it");
    }
    *out << "signed by the key in " << key_file << std::endl;
  }
  return security::CheckTokenTime(token.claims, clock.WallNowMs() / 1000);
}

Status TrustTokenKey(NodeClient* node, const std::string& key_file, const std::string& name,
                     std::chrono::milliseconds timeout, std::ostream* out) {
  ASSIGN_OR_RETURN(const std::string key, PublicKeyIn(key_file));
  v1::AccessChange change;
  change.set_kind(v1::AccessChange::KIND_TRUST_KEY);
  change.set_name(name);
  change.set_public_key(security::ToHex(key));
  RETURN_IF_ERROR(node->ChangeAccess(change, timeout));
  *out << "done" << std::endl;
  return OkStatus();
}

Status ChangeTokens(NodeClient* node, v1::AccessChange::Kind kind, const std::string& name,
                    std::chrono::milliseconds timeout, std::ostream* out) {
  v1::AccessChange change;
  change.set_kind(kind);
  change.set_name(name);
  RETURN_IF_ERROR(node->ChangeAccess(change, timeout));
  *out << "done" << std::endl;
  return OkStatus();
}

Status ListTokenRules(NodeClient* node, OutputMode mode, std::chrono::milliseconds timeout,
                      std::ostream* out) {
  ASSIGN_OR_RETURN(const v1::ListAccessResponse access, node->ListAccess(timeout));
  std::vector<Row> rows;
  for (const v1::TokenRule& rule : access.tokens()) {
    const char* kind = "key trusted";
    if (rule.kind() == v1::TokenRule::KIND_TOKEN) kind = "token revoked";
    if (rule.kind() == v1::TokenRule::KIND_PRINCIPAL) kind = "tokens of principal revoked";
    rows.push_back({Value(std::string(kind)), Value(rule.name()),
                    Value(security::TimeText(static_cast<int64_t>(rule.time_s()))),
                    Value(rule.public_key())});
  }
  PrintRows({mode, /*headers=*/true},
            {{"what", "TEXT"}, {"name", "TEXT"}, {"since", "TEXT"}, {"public key", "TEXT"}}, rows,
            out);
  return OkStatus();
}

}  // namespace cairn::tools
