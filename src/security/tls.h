// Tls: how a process speaks TLS to others, and whom it believes. Every listener and every channel of
// Cairn gets its credentials here.
//
// gRPC shakes hands, and proves that the other side holds the key of the certificate that it shows.
// The judgement of certificates is here alone (trust.h). A client judges the server in the
// handshake. A server judges its callers at each call, so that a caller hears in words why it is
// refused, and so that a certificate that is revoked or expires meanwhile opens no new call on an
// old connection.
//
// TLS 1.3 and 1.2 are spoken. All cipher suites are AEAD with forward secrecy (gRPC's default).
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "security/certified_name.h"
#include "security/tls_files.h"
#include "security/trust.h"

namespace cairn::security {

// What a call that comes with a token has: "Bearer " and the token.
inline constexpr char kAuthorizationMetadata[] = "authorization";

class Tls;
// Null where TLS is not spoken.
using TlsPtr = std::shared_ptr<Tls>;

// Thread-safe. Does not own objects of gRPC, so any thread may release the last owner.
class Tls {
 public:
  // Reads the files (tls_files.h). A server needs a certificate that names a node and that it
  // would itself accept. A client that has one names a principal or a node.
  static Result<TlsPtr> ForServer(const std::string& directory, Clock* clock);
  // `token_file`: a token of the client (token.h), which only its owner may read; empty: none. It goes
  // with every call of the channels, and is read again when it changes.
  static Result<TlsPtr> ForClient(const std::string& directory, Clock* clock,
                                  const std::string& token_file = "");

  // Whom the certificate of this process names. None: a client without one.
  std::optional<CertifiedName> own_name() const;
  // When that certificate, or one that it stands on, expires. 0: there is none.
  int64_t expires_s() const;

  // For channels. The server must show a certificate of a node. If this process has a certificate,
  // the node must be of the same cluster; otherwise a certificate for the host that the channel
  // connects to will do too. If `node_id` is not 0, only that node will do. Call it for each channel,
  // because it takes the present files.
  std::shared_ptr<grpc::ChannelCredentials> ForChannel(uint64_t node_id = 0);

  // For the listener. Calls are let in whose certificate names a node or a principal of this
  // server's cluster. What only nodes may say needs a certificate of a node: calls of the services
  // below `node_services` ("/cairn.internal."), and calls that carry one of the `node_metadata`.
  struct ServerRules {
    std::vector<std::string> node_services;
    std::vector<std::string> node_metadata;
    // Says whether a caller may make a call, by its method. A node may make it for a principal, which
    // is the value of this metadata; otherwise the text is empty. Empty function: all may.
    std::string principal_metadata = {};
    std::function<Status(const CertifiedName& caller, std::string_view method,
                         std::string_view principal)>
        authorize = {};
    // Whom the metadata `authorization` of a call names, which then counts instead of the caller's
    // certificate. UNAUTHENTICATED in words. Empty function: no call may have it.
    std::function<Result<CertifiedName>(std::string_view authorization)> judge_token = {};
  };
  std::shared_ptr<grpc::ServerCredentials> ForListener(ServerRules rules);

  // Who makes a call, of which gRPC has the certificate. UNAUTHENTICATED in words.
  Result<CertifiedName> CallerOf(const grpc::AuthContext& call);
  // The same from PEM. Verdicts are remembered until the files change or the certificate expires.
  Result<CertifiedName> CallerOf(std::string_view leaf, std::string_view chain);
  // The token that calls of this process carry; empty: none.
  std::string token();
  // The node that answered a call of this process.
  Result<CertifiedName> ServerOf(const grpc::AuthContext& call);
  // As CallerOf, for a server with this certificate at `host`.
  Result<CertifiedName> ServerOf(std::string_view leaf, std::string_view chain,
                                 const std::string& host);

  // Reads the files again if they have changed. OK if they have not, or if they are good and count
  // from now on. Otherwise the old ones still count, and the error is told at most once for the
  // same files: OK afterwards. A new revocation list of the same authorities counts even if this
  // process's own certificate is of no use; the old certificate is then shown still.
  Status Refresh();
  // Why the files that are there now do not all count; empty: they do. After a restart the node would
  // not start with them.
  std::string refusal() const;
  // Rises when new files count.
  uint64_t generation() const { return generation_; }

  // Expiry is judged by the later of the system's clock and the latest of these times: a box may
  // boot without a clock, and its cluster knows better. Milliseconds since 1970.
  void NoteTime(int64_t wall_ms);
  int64_t NowSeconds() const;

  // What is shown and trusted at one moment.
  struct Material {
    TlsFiles files;
    std::shared_ptr<const Trust> trust;
    std::optional<CertifiedName> own;
    int64_t expires_s = 0;
  };
  std::shared_ptr<const Material> material() const;

 private:
  Tls(std::string directory, Trust::Role role, Clock* clock)
      : directory_(std::move(directory)), role_(role), clock_(clock) {}
  static Result<TlsPtr> Open(const std::string& directory, Trust::Role role, Clock* clock);
  Status Load(const std::string& stamp);
  Status LoadToken();
  // The files, and whom they trust.
  Result<std::shared_ptr<Material>> Read() const;
  // Fills in what the own certificate says, or tells what is wrong with it.
  Status JudgeOwn(Material* material) const;
  // Refresh, not more often than every second.
  void RefreshNowAndThen();

  const std::string directory_;
  std::string token_file_;  // set before there is another thread
  const Trust::Role role_;
  Clock* const clock_;
  std::weak_ptr<Tls> self_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int64_t> latest_ms_{0};
  std::atomic<int64_t> next_look_ns_{0};

  Mutex refresh_mutex_;                                 // held while files are read
  std::string stamp_ CAIRN_GUARDED_BY(refresh_mutex_);  // of the files that were read last

  struct Verdict {
    CertifiedName name;
    int64_t expires_s = 0;
  };
  mutable Mutex mutex_;
  std::shared_ptr<const Material> material_ CAIRN_GUARDED_BY(mutex_);
  std::string token_ CAIRN_GUARDED_BY(mutex_);
  std::string refusal_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, Verdict, std::less<>> verdicts_ CAIRN_GUARDED_BY(mutex_);  // by PEM
};

}  // namespace cairn::security
