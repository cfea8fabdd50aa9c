#include "security/tls.h"

#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "base/ids.h"
#include "security/token.h"

namespace cairn::security {
namespace {

// Of callers whose certificates were judged. A cluster has fewer clients at a time; with more,
// certificates are judged again.
constexpr size_t kVerdictsMax = 1024;
// No machine that runs this version has a sound clock that shows an earlier time.
constexpr int64_t kPlausibleFromSeconds = 1'793'491'200;  // 2026-11-01
constexpr int64_t kAheadMaxSeconds = 24 * 3600;
constexpr SteadyTime kLookEvery = std::chrono::seconds(1);

Status Unauthenticated(std::string why) { return {StatusCode::kUnauthenticated, std::move(why)}; }

std::string_view PropertyOf(const grpc::AuthContext& call, const char* name) {
  const std::vector<grpc::string_ref> values = call.FindPropertyValues(name);
  if (values.empty()) return {};
  return {values.front().data(), values.front().size()};
}

// When the newest of the revocation lists was made. 0: there is none.
int64_t ListedAt(const TlsFiles& files) {
  int64_t newest_s = 0;
  if (files.revoked.empty()) return newest_s;
  const Result<std::vector<CrlPtr>> lists = ParseCrls(files.revoked);
  if (!lists.ok()) return newest_s;
  for (const CrlPtr& list : *lists) {
    tm parts{};
    if (ASN1_TIME_to_tm(X509_CRL_get0_lastUpdate(list.get()), &parts) != 1) continue;
    newest_s = std::max<int64_t>(newest_s, timegm(&parts));
  }
  return newest_s;
}

// A server refuses its own certificate at the start, rather than be refused by all others later.
Status CheckOwn(const Verified& verified, Trust::Role role) {
  if (verified.name && (verified.name->is_node() || role == Trust::Role::kClient)) {
    return OkStatus();
  }
  if (role == Trust::Role::kServer) {
    return FailedPrecondition(
        "it is not a node's: it needs the name cairn://CLUSTER/node/ID, as "
        "'cairn cert issue DIR node ID' gives it");
  }
  return FailedPrecondition(
      "it names neither a principal nor a node of a cluster: it needs the name "
      "cairn://CLUSTER/principal/NAME, as 'cairn cert issue DIR client NAME' gives it");
}

}  // namespace

Result<TlsPtr> Tls::ForServer(const std::string& directory, Clock* clock) {
  return Open(directory, Trust::Role::kServer, clock);
}

Result<TlsPtr> Tls::ForClient(const std::string& directory, Clock* clock,
                              const std::string& token_file) {
  ASSIGN_OR_RETURN(TlsPtr tls, Open(directory, Trust::Role::kClient, clock));
  tls->token_file_ = token_file;
  RETURN_IF_ERROR(tls->LoadToken());
  return tls;
}

Result<TlsPtr> Tls::Open(const std::string& directory, Trust::Role role, Clock* clock) {
  TlsPtr tls(new Tls(directory, role, clock));
  tls->self_ = tls;
  const std::string stamp = StampOf(directory);
  RETURN_IF_ERROR(tls->Load(stamp));
  return tls;
}

Result<std::shared_ptr<Tls::Material>> Tls::Read() const {
  auto material = std::make_shared<Material>();
  ASSIGN_OR_RETURN(material->files, ReadTlsFiles(directory_));
  const TlsFiles& files = material->files;
  auto trust = Trust::Make(files.authorities, files.revoked);
  if (!trust.ok()) {
    return Status(trust.status()).Prefixed(directory_ + "/ca.crt, or ca.crl beside it");
  }
  material->trust = *std::move(trust);
  return material;
}

// An own certificate that has expired is no error: a node with it is refused by others, says so in
// its log, and must still be there for the operator who renews it.
Status Tls::JudgeOwn(Material* material) const {
  const TlsFiles& files = material->files;
  if (files.certificate.empty()) {
    if (role_ == Trust::Role::kClient) return OkStatus();
    return FailedPrecondition(directory_ + "/tls.crt and tls.key are missing: a server needs them");
  }
  // The time just before the expiry, so that all else is judged.
  ASSIGN_OR_RETURN(const std::vector<CertificatePtr> chain, ParseCertificates(files.certificate));
  int64_t expires_s = ExpiryOf(chain.front().get());
  for (const CertificatePtr& one : chain) expires_s = std::min(expires_s, ExpiryOf(one.get()));
  const int64_t at_s = std::min(NowSeconds(), expires_s - 1);
  Result<Verified> own = material->trust->Verify(files.certificate, files.certificate, role_, at_s);
  Status bad = own.status();
  if (own.ok()) bad = CheckOwn(*own, role_);
  if (bad.ok()) {  // a node calls its peers too
    bad = material->trust->Verify(files.certificate, files.certificate, Trust::Role::kClient, at_s)
              .status();
  }
  if (!bad.ok()) {
    return Status(StatusCode::kFailedPrecondition, bad.message())
        .Prefixed("the certificate " + directory_ + "/tls.crt is of no use");
  }
  material->own = own->name;
  material->expires_s = own->expires_s;
  return OkStatus();
}

Status Tls::Load(const std::string& stamp) {
  const MutexLock refresh_lock(refresh_mutex_);
  if (stamp == stamp_) return OkStatus();
  stamp_ = stamp;
  Result<std::shared_ptr<Material>> read = Read();
  // The disk, or a lack of descriptors: the same files may be read at the next look.
  if (read.status().code() == StatusCode::kInternal) stamp_.clear();
  ASSIGN_OR_RETURN(std::shared_ptr<Material> material, std::move(read));
  const Status own_bad = JudgeOwn(material.get());
  const MutexLock lock(mutex_);
  // The bad schedule without this: a stolen key of this node is revoked, in one list with a stolen
  // key of a client. This node refuses the list, and lets the client in.
  const bool list_alone = !own_bad.ok() && material_ != nullptr &&
                          material_->files.authorities == material->files.authorities;
  if (!own_bad.ok() && !list_alone) return own_bad;
  if (list_alone) {
    material->files.certificate = material_->files.certificate;
    material->files.key = material_->files.key;
    material->own = material_->own;
    material->expires_s = material_->expires_s;
  }
  if (material_ != nullptr && ListedAt(material->files) < ListedAt(material_->files)) {
    return FailedPrecondition(
        directory_ +
        "/ca.crl is missing, or older than the list that counted before: what "
        "was revoked stays revoked. Copy the newest list there");
  }
  if (material_ != nullptr && material_->own != material->own && role_ == Trust::Role::kServer) {
    return FailedPrecondition(directory_ + "/tls.crt names " + InWords(*material->own) +
                              ", and this process is " + InWords(*material_->own) +
                              ": the old certificate still counts");
  }
  material_ = std::move(material);
  verdicts_.clear();
  ++generation_;
  return own_bad.ok()
             ? own_bad
             : Status(own_bad).Prefixed(
                   "the new revocation list counts, and the certificate before is still shown");
}

Status Tls::Refresh() {
  // The stamp is taken before the files are read. If one changes meanwhile, the next look reads
  // them again.
  const uint64_t before = generation_;
  Status loaded = Load(StampOf(directory_));
  const MutexLock lock(mutex_);
  if (generation_ != before) refusal_.clear();
  if (!loaded.ok()) refusal_ = loaded.message();
  return loaded;
}

std::string Tls::refusal() const {
  const MutexLock lock(mutex_);
  return refusal_;
}

void Tls::RefreshNowAndThen() {
  if (role_ == Trust::Role::kServer)
    return;  // its owner calls Refresh, and acts on what has changed
  const int64_t now = clock_->SteadyNow().count();
  int64_t due = next_look_ns_;
  if (now < due) return;
  if (!next_look_ns_.compare_exchange_strong(due, now + kLookEvery.count())) return;
  // A client goes on with what it has, and its server says what is wrong with that.
  (void)Refresh();
  (void)LoadToken();
}

// A token must be a word: it becomes a line of HTTP/2.
Status Tls::LoadToken() {
  if (token_file_.empty()) return OkStatus();
  ASSIGN_OR_RETURN(std::string text, ReadSecretFile(token_file_));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  const Result<ParsedToken> parsed = ParseToken(text);
  if (!parsed.ok()) return InvalidArgument(parsed.status().message()).Prefixed(token_file_);
  const MutexLock lock(mutex_);
  token_ = std::move(text);
  return OkStatus();
}

std::string Tls::token() {
  RefreshNowAndThen();
  const MutexLock lock(mutex_);
  return token_;
}

std::shared_ptr<const Tls::Material> Tls::material() const {
  const MutexLock lock(mutex_);
  return material_;
}

std::optional<CertifiedName> Tls::own_name() const { return material()->own; }
int64_t Tls::expires_s() const { return material()->expires_s; }

void Tls::NoteTime(int64_t wall_ms) {
  int64_t before = latest_ms_;
  while (before < wall_ms && !latest_ms_.compare_exchange_weak(before, wall_ms)) {
  }
}

// The replicated time helps a clock that is plainly wrong. It never goes back, so it must not count
// without a bound: a leader whose clock once ran in 2050 would else end every certificate for ever.
int64_t Tls::NowSeconds() const {
  const int64_t own_s = clock_->WallNowMs() / 1000;
  const int64_t replicated_s = latest_ms_ / 1000;
  if (own_s < kPlausibleFromSeconds) return std::max(own_s, replicated_s);
  return std::max(own_s, std::min(replicated_s, own_s + kAheadMaxSeconds));
}

Result<CertifiedName> Tls::CallerOf(const grpc::AuthContext& call) {
  return CallerOf(PropertyOf(call, GRPC_X509_PEM_CERT_PROPERTY_NAME),
                  PropertyOf(call, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME));
}

Result<CertifiedName> Tls::CallerOf(std::string_view leaf, std::string_view chain) {
  if (leaf.empty()) {
    return Unauthenticated(
        "the caller shows no certificate and no token, and this node serves only those who have "
        "one "
        "of its site ('cairn cert issue'): name the directory with it by --tls-dir");
  }
  const int64_t now_s = NowSeconds();
  std::shared_ptr<const Material> material;
  {
    const MutexLock lock(mutex_);
    const auto known = verdicts_.find(leaf);
    if (known != verdicts_.end() && now_s <= known->second.expires_s) return known->second.name;
    material = material_;
  }
  ASSIGN_OR_RETURN(const Verified verified,
                   material->trust->Verify(leaf, chain, Trust::Role::kClient, now_s));
  if (!verified.name) {
    return Unauthenticated("the certificate of " + verified.subject +
                           " names neither a principal nor a node of a cluster (as the URI "
                           "cairn://CLUSTER/principal/NAME)");
  }
  const uint64_t here = material->own ? material->own->cluster_id : 0;
  if (verified.name->cluster_id != here) {
    return Unauthenticated("the certificate is that of " + InWords(*verified.name) +
                           ", and this node is of cluster " + ClusterIdText(here));
  }
  const MutexLock lock(mutex_);
  if (material == material_) {  // else it was judged by files that do not count any more
    if (verdicts_.size() >= kVerdictsMax) verdicts_.clear();
    verdicts_.insert_or_assign(std::string(leaf), Verdict{*verified.name, verified.expires_s});
  }
  return *verified.name;
}

Result<CertifiedName> Tls::ServerOf(const grpc::AuthContext& call) {
  return ServerOf(PropertyOf(call, GRPC_X509_PEM_CERT_PROPERTY_NAME),
                  PropertyOf(call, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME), "");
}

Result<CertifiedName> Tls::ServerOf(std::string_view leaf, std::string_view chain,
                                    const std::string& host) {
  const std::shared_ptr<const Material> now = material();
  ASSIGN_OR_RETURN(const Verified verified,
                   now->trust->Verify(leaf, chain, Trust::Role::kServer, NowSeconds()));
  const uint64_t here = now->own ? now->own->cluster_id : 0;
  if (verified.name && verified.name->is_node()) {
    if (here == 0 || verified.name->cluster_id == here) return *verified.name;
    return Unauthenticated("the server is " + InWords(*verified.name) +
                           ", and the certificate of this process is for cluster " +
                           ClusterIdText(here));
  }
  if (verified.name) {
    return Unauthenticated("the server shows the certificate of " + InWords(*verified.name) +
                           ", which is no node's");
  }
  if (here == 0 && !host.empty() && IsForHost(verified.leaf.get(), host)) return CertifiedName();
  return Unauthenticated("the certificate of " + verified.subject +
                         ", which the server shows, names neither a node nor the host " + host);
}

}  // namespace cairn::security
