// The credentials of gRPC that Tls gives out.
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "security/tls.h"

namespace cairn::security {
namespace {

std::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// Judges a server within the handshake.
class ServerVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  ServerVerifier(TlsPtr tls, uint64_t node_id) : tls_(std::move(tls)), node_id_(node_id) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    const auto view = [](grpc::string_ref text) {
      return std::string_view(text.data(), text.size());
    };
    // gRPC takes the port off the target, and leaves the brackets of an IPv6 address.
    std::string host(view(request->target_name()));
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    Result<CertifiedName> server =
        tls_->ServerOf(view(request->peer_cert()), view(request->peer_cert_full_chain()), host);
    if (server.ok() && node_id_ != 0 && server->node_id != node_id_) {
      server = Status(StatusCode::kUnauthenticated, "node " + std::to_string(node_id_) +
                                                        " is sought there, and the server is " +
                                                        InWords(*server));
    }
    *status = server.ok()
                  ? grpc::Status::OK
                  : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, server.status().message());
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  const TlsPtr tls_;
  const uint64_t node_id_;  // 0: any
};

// What was refused lately. A stranger may call again and again on one connection, and to judge a
// certificate with its chain takes a thousand times as long as a look here. Thread-safe.
class Refusals {
 public:
  // None: judge it.
  std::optional<Status> Find(const std::string& shown, uint64_t generation, int64_t now_s) {
    const MutexLock lock(mutex_);
    if (generation != generation_) {
      generation_ = generation;
      refused_.clear();
    }
    const auto found = refused_.find(std::hash<std::string>()(shown));
    if (found == refused_.end() || found->second.shown != shown) return std::nullopt;
    const int64_t age_s = now_s - found->second.at_s;
    if (age_s < 0 || age_s >= kRefusalSeconds) return std::nullopt;
    return found->second.why;
  }
  void Add(const std::string& shown, const Status& why, int64_t now_s) {
    const MutexLock lock(mutex_);
    if (refused_.size() >= kRefusalsMax) refused_.clear();
    refused_.insert_or_assign(std::hash<std::string>()(shown), Refusal{shown, why, now_s});
  }

 private:
  // A certificate that is not valid yet may be valid soon.
  static constexpr int64_t kRefusalSeconds = 10;
  static constexpr size_t kRefusalsMax = 256;
  struct Refusal {
    std::string shown;
    Status why;
    int64_t at_s = 0;
  };
  Mutex mutex_;
  uint64_t generation_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::unordered_map<size_t, Refusal> refused_ CAIRN_GUARDED_BY(mutex_);
};

// What gRPC holds as long as it may shake hands or let calls in.
struct Door {
  TlsPtr tls;
  Tls::ServerRules rules;
  std::atomic<uint64_t> shown{0};  // the generation of the certificate that gRPC has
  Refusals refusals;
};

// More than any site's certificate with those that it stands on.
constexpr size_t kShownBytesMax = 24 << 10;

Result<CertifiedName> Judge(Door* door, std::string_view leaf, std::string_view chain) {
  if (leaf.size() + chain.size() > kShownBytesMax) {
    return Status(StatusCode::kUnauthenticated, "the certificate, or its chain, is too long");
  }
  const uint64_t generation = door->tls->generation();
  const int64_t now_s = door->tls->NowSeconds();
  std::string shown(leaf);
  shown += chain;
  if (std::optional<Status> why = door->refusals.Find(shown, generation, now_s)) return *why;
  Result<CertifiedName> caller = door->tls->CallerOf(leaf, chain);
  if (!caller.ok()) door->refusals.Add(shown, caller.status(), now_s);
  return caller;
}

// Called before each handshake.
grpc_ssl_certificate_config_reload_status Fetch(void* state,
                                                grpc_ssl_server_certificate_config** config) {
  auto* const door = static_cast<Door*>(state);
  const uint64_t generation = door->tls->generation();
  if (door->shown.exchange(generation) == generation) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  const std::shared_ptr<const Tls::Material> material = door->tls->material();
  const TlsFiles& files = material->files;
  const grpc_ssl_pem_key_cert_pair pair{files.key.c_str(), files.certificate.c_str()};
  *config = grpc_ssl_server_certificate_config_create(files.authorities.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::string_view PropertyOf(grpc_auth_context* context, const char* name) {
  grpc_auth_property_iterator found = grpc_auth_context_find_properties_by_name(context, name);
  const grpc_auth_property* const property = grpc_auth_property_iterator_next(&found);
  return property == nullptr ? std::string_view()
                             : std::string_view(property->value, property->value_length);
}

std::string_view MetadataOf(const grpc_metadata* metadata, size_t count, std::string_view key) {
  for (size_t i = 0; i < count; ++i) {
    if (View(metadata[i].key) == key) return View(metadata[i].value);
  }
  return {};
}

// True if only a node may make the call.
bool NeedsNode(const Tls::ServerRules& rules, const grpc_metadata* metadata, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const std::string_view key = View(metadata[i].key);
    if (std::find(rules.node_metadata.begin(), rules.node_metadata.end(), key) !=
        rules.node_metadata.end()) {
      return true;
    }
    if (key != ":path") continue;
    const std::string_view path = View(metadata[i].value);
    for (const std::string& service : rules.node_services) {
      if (path.starts_with(service)) return true;
    }
  }
  return false;
}

// None: there is none. UNAUTHENTICATED if there are several.
Result<std::optional<std::string_view>> AuthorizationOf(const grpc_metadata* metadata,
                                                        size_t count) {
  std::optional<std::string_view> found;
  for (size_t i = 0; i < count; ++i) {
    if (View(metadata[i].key) != kAuthorizationMetadata) continue;
    if (found) return Status(StatusCode::kUnauthenticated, "the call has several authorizations");
    found = View(metadata[i].value);
  }
  return found;
}

Result<CertifiedName> CallerOf(Door* door, grpc_auth_context* context,
                               const grpc_metadata* metadata, size_t count) {
  ASSIGN_OR_RETURN(const std::optional<std::string_view> authorization,
                   AuthorizationOf(metadata, count));
  if (!authorization) {
    return Judge(door, PropertyOf(context, GRPC_X509_PEM_CERT_PROPERTY_NAME),
                 PropertyOf(context, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME));
  }
  if (door->rules.judge_token) return door->rules.judge_token(*authorization);
  return Status(StatusCode::kUnauthenticated, "this server takes no tokens");
}

// Called before each call is given to its service.
void LetIn(void* state, grpc_auth_context* context, const grpc_metadata* metadata, size_t count,
           grpc_process_auth_metadata_done_cb done, void* call) {
  auto* const door = static_cast<Door*>(state);
  const Result<CertifiedName> caller = CallerOf(door, context, metadata, count);
  if (!caller.ok()) {
    done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_UNAUTHENTICATED,
         caller.status().message().c_str());
    return;
  }
  if (!caller->is_node() && NeedsNode(door->rules, metadata, count)) {
    const std::string why =
        "only nodes of the cluster may make this call, and the caller is " + InWords(*caller);
    done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_PERMISSION_DENIED, why.c_str());
    return;
  }
  if (door->rules.authorize) {
    const Status allowed =
        door->rules.authorize(*caller, MetadataOf(metadata, count, ":path"),
                              MetadataOf(metadata, count, door->rules.principal_metadata));
    if (!allowed.ok()) {
      done(call, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(allowed.code()),
           allowed.message().c_str());
      return;
    }
  }
  done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
}

// Adds the token of this process to each call. gRPC asks it on channels with TLS alone.
class TokenOfCalls final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenOfCalls(TlsPtr tls) : tls_(std::move(tls)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status GetMetadata(grpc::string_ref /*url*/, grpc::string_ref /*method*/,
                           const grpc::AuthContext& /*channel*/,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace(kAuthorizationMetadata, "Bearer " + tls_->token());
    return grpc::Status::OK;
  }

 private:
  const TlsPtr tls_;
};

// gRPC's C++ API has no server credentials that ask for a certificate before each handshake, and
// its C API has. The object of the C API owns the door.
class ListenerCredentials final : public grpc::ServerCredentials {
 public:
  explicit ListenerCredentials(std::unique_ptr<Door> door) {
    Door* const kept = door.release();
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY, Fetch, kept));
    grpc_server_credentials_set_auth_metadata_processor(
        credentials_, {LetIn, [](void* state) { delete static_cast<Door*>(state); }, kept});
  }
  ~ListenerCredentials() override { grpc_server_credentials_release(credentials_); }
  ListenerCredentials(const ListenerCredentials&) = delete;
  ListenerCredentials& operator=(const ListenerCredentials&) = delete;

  // Not supported: each call is judged by LetIn.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> Tls::ForListener(ServerRules rules) {
  auto door = std::make_unique<Door>();
  door->tls = self_.lock();
  door->rules = std::move(rules);
  return std::make_shared<ListenerCredentials>(std::move(door));
}

std::shared_ptr<grpc::ChannelCredentials> Tls::ForChannel(uint64_t node_id) {
  using grpc::experimental::IdentityKeyCertPair;
  RefreshNowAndThen();
  const std::shared_ptr<const Material> now = material();
  std::vector<IdentityKeyCertPair> own;
  if (!now->files.key.empty()) own.push_back({now->files.key, now->files.certificate});
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(now->files.authorities,
                                                                          own));
  options.watch_root_certs();
  if (!own.empty()) options.watch_identity_key_cert_pairs();
  // The verifier does all: OpenSSL would judge by the system's clock, and name no reason.
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<ServerVerifier>(self_.lock(),
                                                                              node_id));
  auto credentials = grpc::experimental::TlsCredentials(options);
  if (token_file_.empty()) return credentials;
  return grpc::CompositeChannelCredentials(
      credentials,
      grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenOfCalls>(self_.lock())));
}

}  // namespace cairn::security
