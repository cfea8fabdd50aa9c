#include "tools/cert.h"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/text.h"
#include "security/authority.h"

namespace cairn::tools {
namespace {

using security::Authority;
using security::CertifiedName;
using Issued = Authority::Issued;

// Nobody needs to grant it anything (state_machine/access.h).
constexpr char kAdmin[] = "admin";

Result<CertifiedName> NameOf(const CertRequest& request, uint64_t cluster_id) {
  CertifiedName name;
  name.cluster_id = cluster_id;
  if (request.kind == "client") {
    RETURN_IF_ERROR(security::CheckPrincipal(request.name));
    name.principal = request.name;
    return name;
  }
  const char* const end = request.name.data() + request.name.size();
  const auto parsed = std::from_chars(request.name.data(), end, name.node_id);
  // Read back, the name must be the same: nobody must be named whom no peer recognizes.
  if (parsed.ec != std::errc() || parsed.ptr != end ||
      security::ParseUri(security::ToUri(name)) != name) {
    return InvalidArgument("'" + request.name +
                           "' is not the id of a node, which is a number from 1");
  }
  return name;
}

std::string OutOf(const CertRequest& request) {
  if (!request.out.empty()) return request.out;
  return request.directory + "/" + request.kind + "-" + request.name;
}

void PrintIssued(const Issued& issued, const std::string& directory, std::ostream* out) {
  *out << "certificate of " << InWords(issued.name) << "\n"
       << "  serial " << issued.serial << ", until " << security::TimeText(issued.expires_s) << "\n"
       << "  in " << directory << ": ca.crt, ca.crl, tls.crt, tls.key (0600: keep it so)\n";
  if (issued.name.is_node()) {
    *out << "on node " << issued.name.node_id << ": cairn server --tls-dir " << directory
         << " ...\n";
  } else {
    *out << "for a client: cairn shell --tls-dir " << directory << " ADDR\n";
    if (issued.name.principal == kAdmin) {
      *out << "it may do everything: keep it for the person who grants\n";
    } else {
      *out << "it may do nothing until it is granted something: cairn grant ADDR "
           << issued.name.principal << " reader\n";
    }
  }
}

}  // namespace

Status InitAuthority(const std::string& directory, const std::string& cluster, const Clock& clock,
                     std::ostream* out) {
  uint64_t cluster_id = 0;
  if (!cluster.empty()) {
    ASSIGN_OR_RETURN(cluster_id, security::ParseClusterId(cluster));
  }
  ASSIGN_OR_RETURN(const Authority authority, Authority::Init(directory, cluster_id, clock));
  *out
      << "authority of cluster " << ClusterIdText(authority.cluster_id()) << " in " << directory
      << "\n"
      << "keep the directory off the nodes. root.key is needed only for a new issuing key: take it "
         "to a safe place\n"
      << "next: cairn cert issue " << directory << " node 1 --host HOST\n";
  return OkStatus();
}

Status IssueCertificate(const CertRequest& request, const Clock& clock, std::ostream* out) {
  ASSIGN_OR_RETURN(Authority authority, Authority::Open(request.directory, clock));
  ASSIGN_OR_RETURN(const CertifiedName name, NameOf(request, authority.cluster_id()));
  const std::string directory = OutOf(request);
  ASSIGN_OR_RETURN(const Issued issued,
                   authority.Issue({name, request.hosts, request.days}, directory));
  PrintIssued(issued, directory, out);
  return OkStatus();
}

Status RenewCertificate(const CertRequest& request, const Clock& clock, std::ostream* out) {
  ASSIGN_OR_RETURN(Authority authority, Authority::Open(request.directory, clock));
  ASSIGN_OR_RETURN(const CertifiedName name, NameOf(request, authority.cluster_id()));
  ASSIGN_OR_RETURN(const std::vector<Issued> all, authority.List());
  const auto latest = std::find_if(all.rbegin(), all.rend(), [&](const Issued& one) {
    return one.name == name && !one.revoked;
  });
  if (latest == all.rend()) {
    return NotFound("there is no certificate of " + InWords(name) +
                    " that is not revoked: issue one (cairn cert issue)");
  }
  const std::string directory = OutOf(request);
  ASSIGN_OR_RETURN(const Issued issued,
                   authority.Issue({name, latest->hosts, request.days}, directory));
  PrintIssued(issued, directory, out);
  *out << "copy the files over the old ones: a server rereads them within a second, without a "
          "restart\n";
  return OkStatus();
}

Status RevokeCertificates(const CertRequest& request, const Clock& clock, std::ostream* out) {
  ASSIGN_OR_RETURN(Authority authority, Authority::Open(request.directory, clock));
  ASSIGN_OR_RETURN(const std::vector<Issued> all, authority.List());
  std::optional<CertifiedName> name;
  if (request.kind != "serial") {
    ASSIGN_OR_RETURN(name, NameOf(request, authority.cluster_id()));
  }
  uint64_t revoked = 0;
  for (const Issued& one : all) {
    if (one.revoked || (name ? one.name != *name : one.serial != request.name)) continue;
    RETURN_IF_ERROR(authority.Revoke(one.serial));
    *out << "revoked: " << InWords(one.name) << ", serial " << one.serial << "\n";
    ++revoked;
  }
  if (revoked == 0) {
    return NotFound("no certificate of " + request.kind + " " + request.name +
                    " is there to be revoked: see 'cairn cert list'");
  }
  *out << Counted(revoked, "certificate") << " revoked. Copy " << request.directory
       << "/ca.crl into the TLS directory of every node and client: it counts within a second\n";
  return OkStatus();
}

Status ListCertificates(const std::string& directory, const Clock& clock, std::ostream* out) {
  ASSIGN_OR_RETURN(const Authority authority, Authority::Open(directory, clock));
  ASSIGN_OR_RETURN(const std::vector<Issued> all, authority.List());
  const int64_t now_s = clock.WallNowMs() / 1000;
  *out << "authority of cluster " << ClusterIdText(authority.cluster_id()) << ", "
       << Counted(all.size(), "certificate") << "\n";
  for (const Issued& one : all) {
    const std::string who = one.name.is_node() ? "node " + std::to_string(one.name.node_id)
                                               : "client " + one.name.principal;
    std::string state = one.expires_s < now_s ? "expired" : "good";
    if (one.revoked) state = "revoked";
    *out << std::left << std::setw(8) << state << std::setw(18) << who << " until "
         << security::TimeText(one.expires_s) << "  serial " << one.serial;
    for (const std::string& host : one.hosts) *out << " " << host;
    *out << "\n";
  }
  return OkStatus();
}

}  // namespace cairn::tools
