#include "security/token.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "security/certified_name.h"
#include "security/x509.h"

namespace cairn::security {
namespace {

using nlohmann::ordered_json;

constexpr size_t kSignatureBytes = 64;
constexpr size_t kKeyBytes = 32;
constexpr int64_t kSecondsMax = int64_t{1} << 40;
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
using ContextPtr = std::unique_ptr<EVP_MD_CTX, FreeBy<EVP_MD_CTX_free>>;

Status NoToken(const std::string& why) {
  return {StatusCode::kUnauthenticated, "the token of the caller is no good: " + why};
}

std::string Encode(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out += kAlphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) out += kAlphabet[(bits << (6 - count)) & 63];
  return out;
}

// None unless the text is how Encode writes the bytes.
std::optional<std::string> Decode(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = std::string_view(kAlphabet, 64).find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count);
  }
  if (count >= 6 || (bits & ((1U << count) - 1)) != 0) return std::nullopt;
  return out;
}

// One flat object, whose members are strings and whole numbers. Each is taken once.
class Members final : public nlohmann::json_sax<ordered_json> {
 public:
  static std::optional<Members> Parse(std::string_view text) {
    Members members;
    // To nlohmann's reader the text ends here.
    if (text.find('\0') != std::string_view::npos) return std::nullopt;
    if (!ordered_json::sax_parse(text.begin(), text.end(), &members)) return std::nullopt;
    return members;
  }
  // None: there is no such string (any more).
  std::optional<std::string> TakeText(std::string_view name) {
    for (size_t i = 0; i < texts_.size(); ++i) {
      if (texts_[i].first != name) continue;
      std::string value = std::move(texts_[i].second);
      texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i));
      return value;
    }
    return std::nullopt;
  }
  std::optional<int64_t> TakeNumber(std::string_view name) {
    for (size_t i = 0; i < numbers_.size(); ++i) {
      if (numbers_[i].first != name) continue;
      const int64_t value = numbers_[i].second;
      numbers_.erase(numbers_.begin() + static_cast<ptrdiff_t>(i));
      return value;
    }
    return std::nullopt;
  }
  bool empty() const { return texts_.empty() && numbers_.empty(); }

  bool null() override { return false; }
  bool boolean(bool /*value*/) override { return false; }
  bool number_integer(number_integer_t /*value*/) override { return false; }  // below 0
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(kSecondsMax) || !open_ || name_.empty()) return false;
    numbers_.emplace_back(std::exchange(name_, ""), static_cast<int64_t>(value));
    return true;
  }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return false; }
  bool string(string_t& value) override {
    if (!open_ || name_.empty()) return false;
    texts_.emplace_back(std::exchange(name_, ""), std::move(value));
    return true;
  }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(size_t /*count*/) override { return !std::exchange(open_, true); }
  bool end_object() override { return true; }
  bool start_array(size_t /*count*/) override { return false; }
  bool end_array() override { return false; }
  bool key(string_t& name) override {
    for (const auto& [known, value] : texts_) {
      if (known == name) return false;
    }
    for (const auto& [known, value] : numbers_) {
      if (known == name) return false;
    }
    name_ = name;
    return !name_.empty();
  }
  bool parse_error(size_t /*at*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool open_ = false;
  std::string name_;  // of the value that comes next
  std::vector<std::pair<std::string, std::string>> texts_;
  std::vector<std::pair<std::string, int64_t>> numbers_;
};

Status TakeHeader(std::string_view part, TokenClaims* claims) {
  const std::optional<std::string> json = Decode(part);
  std::optional<Members> header = json ? Members::Parse(*json) : std::nullopt;
  if (!header) return NoToken("its header is not a JSON object as cairn token issue writes it");
  if (header->TakeText("alg") != "EdDSA") return NoToken("its algorithm (alg) is not EdDSA");
  if (header->TakeText("typ").value_or("JWT") != "JWT") return NoToken("its type is not JWT");
  claims->key = header->TakeText("kid").value_or("");
  if (!CheckPrincipal(claims->key).ok()) return NoToken("it does not name its key (kid)");
  return header->empty() ? OkStatus() : NoToken("its header says more than alg, kid and typ");
}

Status TakeClaims(std::string_view part, TokenClaims* claims) {
  const std::optional<std::string> json = Decode(part);
  std::optional<Members> said = json ? Members::Parse(*json) : std::nullopt;
  if (!said) return NoToken("its claims are not a JSON object as cairn token issue writes it");
  claims->principal = said->TakeText("sub").value_or("");
  if (!CheckPrincipal(claims->principal).ok()) return NoToken("it names no principal (sub)");
  claims->id = said->TakeText("jti").value_or("");
  if (!CheckPrincipal(claims->id).ok()) return NoToken("it has no id (jti)");
  const std::optional<std::string> role = said->TakeText("role");
  claims->role = role.value_or("");
  if (role && !CheckPrincipal(*role).ok()) return NoToken("its role is none");
  const std::string site = said->TakeText("aud").value_or("");
  const Result<uint64_t> cluster = site.starts_with(kNameScheme)
                                       ? ParseClusterId(site.substr(kNameScheme.size()))
                                       : Result<uint64_t>(InvalidArgument(""));
  if (!cluster.ok()) return NoToken("it names no cluster (aud)");
  claims->cluster_id = *cluster;
  const std::optional<int64_t> issued = said->TakeNumber("iat");
  const std::optional<int64_t> expires = said->TakeNumber("exp");
  if (!issued) return NoToken("it does not say when it was issued (iat)");
  if (!expires) return NoToken("it does not say when it expires (exp)");
  claims->issued_s = *issued;
  claims->expires_s = *expires;
  claims->not_before_s = said->TakeNumber("nbf").value_or(0);
  return said->empty() ? OkStatus() : NoToken("it has claims that this version does not know");
}

Result<std::string> ToPemText(EVP_PKEY* key, bool secret) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  const int written =
      secret ? PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr)
             : PEM_write_bio_PUBKEY(bio.get(), key);
  if (written != 1) return OpenSslError("cannot write a key");
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

Result<ParsedToken> ParseToken(std::string_view text) {
  if (text.size() > kTokenBytesMax) {
    return NoToken("it has more than " + std::to_string(kTokenBytesMax) + " bytes");
  }
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos) {
    return NoToken("it does not have three parts");
  }
  ParsedToken token;
  RETURN_IF_ERROR(TakeHeader(text.substr(0, first), &token.claims));
  RETURN_IF_ERROR(TakeClaims(text.substr(first + 1, second - first - 1), &token.claims));
  std::optional<std::string> signature = Decode(text.substr(second + 1));
  if (!signature || signature->size() != kSignatureBytes) return NoToken("it has no signature");
  token.signature = *std::move(signature);
  token.signed_part = text.substr(0, second);
  return token;
}

bool IsSignedBy(const ParsedToken& token, std::string_view public_key) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  const KeyPtr key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(public_key), public_key.size()));
  const ContextPtr context(EVP_MD_CTX_new());
  const bool good =
      key != nullptr && context != nullptr &&
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), bytes(token.signature), token.signature.size(),
                       bytes(token.signed_part), token.signed_part.size()) == 1;
  if (!good) (void)OpenSslError("");  // empties the queue
  return good;
}

Status CheckTokenTime(const TokenClaims& claims, int64_t now_s) {
  if (claims.expires_s - claims.issued_s > kTokenSecondsMax) {
    return NoToken("it lives for more than 366 days");
  }
  if (now_s >= claims.expires_s) return NoToken("it expired at " + TimeText(claims.expires_s));
  const int64_t from_s = std::max(claims.issued_s, claims.not_before_s);
  if (now_s + kTokenLeewaySeconds < from_s) {
    return NoToken("it counts from " + TimeText(from_s) + " on, and it is " + TimeText(now_s));
  }
  return OkStatus();
}

Result<std::string> SignToken(const TokenClaims& claims, std::string_view private_pem) {
  for (const std::string& name : {claims.key, claims.id, claims.principal}) {
    RETURN_IF_ERROR(CheckPrincipal(name));
  }
  RETURN_IF_ERROR(TokenKeyBytes(private_pem).status());
  ASSIGN_OR_RETURN(const KeyPtr key, ParseKey(private_pem));
  const ordered_json header = {{"alg", "EdDSA"}, {"kid", claims.key}, {"typ", "JWT"}};
  ordered_json said = {{"aud", std::string(kNameScheme) + ClusterIdText(claims.cluster_id)},
                       {"exp", claims.expires_s},
                       {"iat", claims.issued_s},
                       {"jti", claims.id}};
  if (claims.not_before_s != 0) said["nbf"] = claims.not_before_s;
  if (!claims.role.empty()) said["role"] = claims.role;
  said["sub"] = claims.principal;
  const std::string text = Encode(header.dump()) + "." + Encode(said.dump());
  const ContextPtr context(EVP_MD_CTX_new());
  std::array<unsigned char, kSignatureBytes> signature{};
  size_t size = signature.size();
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size,
                     reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1) {
    return OpenSslError("cannot sign");
  }
  return text + "." + Encode({reinterpret_cast<const char*>(signature.data()), size});
}

Result<TokenKeyPair> NewTokenKey() {
  const KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (key == nullptr) return OpenSslError("cannot make a key");
  ASSIGN_OR_RETURN(std::string secret, ToPemText(key.get(), true));
  ASSIGN_OR_RETURN(std::string open, ToPemText(key.get(), false));
  return TokenKeyPair{std::move(secret), std::move(open)};
}

Result<std::string> TokenKeyBytes(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return InvalidArgument("too large for a key");
  KeyPtr key;
  if (pem.find("PUBLIC KEY") != std::string_view::npos) {
    const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    key.reset(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
    if (key == nullptr) return OpenSslError("holds no public key in PEM");
  } else {
    ASSIGN_OR_RETURN(key, ParseKey(pem));
  }
  std::array<unsigned char, kKeyBytes> bytes{};
  size_t size = bytes.size();
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key.get(), bytes.data(), &size) != 1 || size != kKeyBytes) {
    return InvalidArgument("the key is none of Ed25519: 'cairn token keygen' makes one");
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

std::string ToHex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const char c : bytes) {
    digits += kDigits[static_cast<uint8_t>(c) >> 4];
    digits += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return digits;
}

std::string FromHex(std::string_view digits) {
  std::string bytes;
  if (digits.size() != 2 * kKeyBytes) return bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t high = kDigits.find(digits[i]);
    const size_t low = kDigits.find(digits[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return {};
    bytes += static_cast<char>((high << 4) | low);
  }
  return bytes;
}

}  // namespace cairn::security
