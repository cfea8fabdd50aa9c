// Texts that look like tokens, for tests of whoever takes tokens.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "security/token.h"
#include "security/x509.h"

namespace cairn::security {

inline constexpr char kGoodHeader[] = R"({"alg":"EdDSA","kid":"k1","typ":"JWT"})";
// They expire in 2033, within a year of their issue.
inline constexpr char kGoodClaims[] =
    R"({"aud":"cairn://00000000000000c1","exp":2000000000,"iat":1990000000,"jti":"id","sub":"alice"})";

inline std::string Base64Url(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return out;
}

// The text with its signature, by any key that signs without a digest.
inline std::string WithSignature(const std::string& text, const std::string& private_pem) {
  const KeyPtr key = *ParseKey(private_pem);
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  unsigned char bytes[64];
  size_t size = sizeof bytes;
  EXPECT_EQ(EVP_DigestSignInit(context, nullptr, nullptr, nullptr, key.get()), 1);
  EXPECT_EQ(EVP_DigestSign(context, bytes, &size,
                           reinterpret_cast<const unsigned char*>(text.data()), text.size()),
            1);
  EVP_MD_CTX_free(context);
  return text + "." + Base64Url({reinterpret_cast<const char*>(bytes), size});
}

inline std::string SignedText(const std::string& header, const std::string& claims,
                              const std::string& private_pem) {
  return WithSignature(Base64Url(header) + "." + Base64Url(claims), private_pem);
}

// HMAC-SHA256 with the public key as the secret, which a verifier that believes `alg` would take.
inline std::string WithHmac(const std::string& text, const std::string& secret) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes, &size);
  return text + "." + Base64Url({reinterpret_cast<const char*>(bytes), size});
}

inline std::string Replaced(std::string text, std::string_view what, std::string_view by) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

using NamedTokens = std::vector<std::pair<std::string, std::string>>;

inline void AddBadHeaders(const TokenKeyPair& key, NamedTokens* out) {
  const std::string raw = *TokenKeyBytes(key.public_pem);
  for (const std::string alg : {"none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "ES256",
                                "PS256", "eddsa", "EDDSA", "Ed25519", "EdDSA ", ""}) {
    const std::string header = Replaced(kGoodHeader, "EdDSA", alg);
    const std::string text = Base64Url(header) + "." + Base64Url(kGoodClaims);
    out->emplace_back("signed, alg=" + alg, WithSignature(text, key.private_pem));
    out->emplace_back("no signature, alg=" + alg, text + ".");
    out->emplace_back("public PEM as a secret, alg=" + alg, WithHmac(text, key.public_pem));
    out->emplace_back("public key as a secret, alg=" + alg, WithHmac(text, raw));
  }
  const std::string header = kGoodHeader;
  for (const std::string& bad :
       {Replaced(header, "\"EdDSA\"", "null"),
        Replaced(header, "\"EdDSA\"", "1"),
        Replaced(header, "\"EdDSA\"", "[\"EdDSA\"]"),
        Replaced(header, "\"EdDSA\"", "{}"),
        Replaced(header, "\"alg\":\"EdDSA\",", ""),
        Replaced(header, "\"kid\":\"k1\",", ""),
        Replaced(header, "k1", ""),
        Replaced(header, "k1", "../../etc/passwd"),
        Replaced(header, "k1", "k1' OR '1'='1"),
        Replaced(header, "k1", "k1\\u0000"),
        Replaced(header, "k1", std::string(65, 'k')),
        Replaced(header, "\"k1\"", "1"),
        Replaced(header, "\"k1\"", "[\"k1\"]"),
        Replaced(header, "JWT", "JWS"),
        Replaced(header, "\"alg\":\"EdDSA\"", "\"alg\":\"none\",\"alg\":\"EdDSA\""),
        Replaced(header, "\"alg\":\"EdDSA\"", "\"alg\":\"EdDSA\",\"alg\":\"none\""),
        Replaced(header, "\"alg\"", "\"ALG\""),
        Replaced(header, "}", ",\"crit\":[\"exp\"]}"),
        Replaced(header, "}", ",\"jku\":\"https://example.org/keys\"}"),
        Replaced(header, "}", ",\"x5u\":\"https://example.org/cert\"}"),
        Replaced(header, "}", ",\"b64\":false}"),
        Replaced(header, "}", ",\"zip\":\"DEF\"}"),
        Replaced(header, "}", ",\"jwk\":{\"kty\":\"OKP\"}}"),
        Replaced(header, "}",
                 "} "
                 "{}"),
        Replaced(header, "}", ",}"),
        Replaced(header, "}", ""),
        std::string("[]"),
        std::string(),
        std::string("null"),
        std::string("\"EdDSA\""),
        std::string(2000, '['),
        Replaced(header, "}", ",\"\":\"\"}"),
        header + "\n//",
        Replaced(header, "EdDSA", "Ed\xff")}) {
    out->emplace_back("header " + bad.substr(0, 80), SignedText(bad, kGoodClaims, key.private_pem));
  }
}

inline void AddBadClaims(const TokenKeyPair& key, NamedTokens* out) {
  const std::string claims = kGoodClaims;
  const auto number = [&](const char* name, const char* value, std::vector<std::string>* to) {
    const std::string old = std::string(name) == "exp" ? "2000000000" : "1990000000";
    to->push_back(Replaced(claims, old, value));
  };
  std::vector<std::string> all;
  for (const char* name : {"exp", "iat"}) {
    for (const char* value :
         {"\"2000000000\"", "2000000000.0", "2e9", "-1", "99999999999999999999", "1099511627777",
          "null", "true", "[]", "{}", "02000000000", "NaN", "Infinity", "0x77"}) {
      number(name, value, &all);
    }
  }
  for (const char* sub : {"", " alice", "alice ", "alice/admin", "node:1", "principal:alice", "*",
                          "al\\u0000ice", "\\u0430lice", "alic\xc3\xa9", "a\\nb", "../admin",
                          "alice,admin", "alice;--", "al ice", "alice#", "alice%2fadmin"}) {
    all.push_back(Replaced(claims, "alice", sub));
  }
  all.push_back(Replaced(claims, "alice", std::string(65, 'a')));
  for (const char* sub : {"null", "1", "[\"alice\"]", "{\"name\":\"alice\"}", "true"}) {
    all.push_back(Replaced(claims, "\"alice\"", sub));
  }
  for (const char* aud :
       {"", "c1", "00000000000000c1", "cairn://c1", "cairn://00000000000000C1",
        "cairn://00000000000000c1/", "cairn://00000000000000c1/node/1", "CAIRN://00000000000000c1",
        "https://example.org", "cairn://0000000000000000", " cairn://00000000000000c1"}) {
    all.push_back(Replaced(claims, "cairn://00000000000000c1", aud));
  }
  all.push_back(Replaced(claims, "\"cairn://00000000000000c1\"", "[\"cairn://00000000000000c1\"]"));
  for (const char* jti : {"", "a b", "a/b", "\\ud800"}) all.push_back(Replaced(claims, "id", jti));
  for (const char* gone : {"\"exp\":2000000000,", "\"iat\":1990000000,", "\"jti\":\"id\",",
                           "\"aud\":\"cairn://00000000000000c1\",", ",\"sub\":\"alice\""}) {
    all.push_back(Replaced(claims, gone, ""));
  }
  for (const char* more :
       {",\"exp\":2000000001", ",\"sub\":\"bob\"", ",\"sub\":\"alice\"", ",\"admin\":true",
        ",\"p\":{\"ro\":{\"ns\":[\"x\"]}}", ",\"a\":\"rw\"", ",\"iss\":\"me\"",
        ",\"scope\":\"all\"", ",\"role\":\"\"", ",\"role\":1", ",\"role\":[\"admin\"]",
        ",\"role\":\"a/b\"", ",\"role\":\"reader\",\"role\":\"admin\"", ",\"nbf\":\"1\"",
        ",\"nbf\":-1", ",\"nbf\":1,\"nbf\":2", ",\"Sub\":\"bob\"", ",\"\\u0073ub\":\"bob\""}) {
    all.push_back(Replaced(claims, "}", std::string(more) + "}"));
  }
  for (const std::string& text :
       {claims + claims, claims + " x", claims + std::string(1, '\0'), "[" + claims + "]",
        "{\"a\":" + claims + "}", std::string(), std::string("{}"), std::string("null"),
        Replaced(claims, "}", ""), Replaced(claims, "{", ""), std::string(2000, '{'),
        Replaced(claims, ":", "="), Replaced(claims, "\"sub\"", "sub"), claims + "//x",
        Replaced(claims, "}", ",\"x\":" + std::string(1000, '[') + std::string(1000, ']') + "}")}) {
    all.push_back(text);
  }
  for (const std::string& one : all) {
    out->emplace_back("claims " + one.substr(0, 150),
                      SignedText(kGoodHeader, one, key.private_pem));
  }
}

// What no reader of tokens may take: each is wrong in one way. The tokens with JSON that is wrong are
// signed by the key; it is known as k1.
inline NamedTokens BadTokens(const TokenKeyPair& key) {
  NamedTokens all;
  AddBadHeaders(key, &all);
  AddBadClaims(key, &all);
  const std::string good = SignedText(kGoodHeader, kGoodClaims, key.private_pem);
  const std::string text = good.substr(0, good.rfind('.'));
  const std::string signature = good.substr(good.rfind('.') + 1);
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("..."), text, text + ".",
        "." + good, good + ".", good + "." + signature, good + "=", good + "==", good + " ",
        " " + good, good + "\n", good + std::string(1, '\0'), good + "A", text + "=." + signature,
        text + "." + signature.substr(2), text + "." + signature + signature,
        text + "." + std::string(86, 'A'), text + "." + signature.substr(0, 85) + "/",
        Replaced(good, ".", ".."), Replaced(good, ".", ","), std::string(5000, 'A'),
        good + std::string(5000, 'A'), std::string(4096, '.'),
        WithSignature(text, NewTokenKey()->private_pem),
        SignedText(kGoodHeader, Replaced(kGoodClaims, "alice", "admin"),
                   NewTokenKey()->private_pem),
        // The claims of one token, and the signature of another.
        Base64Url(kGoodHeader) + "." + Base64Url(Replaced(kGoodClaims, "alice", "bob")) + "." +
            signature}) {
    all.emplace_back("text " + bad.substr(0, 40) + " of " + std::to_string(bad.size()) + " bytes",
                     bad);
  }
  return all;
}

}  // namespace cairn::security
