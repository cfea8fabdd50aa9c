// `cairn cert`: a site's certificate authority, for the person who keeps it.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "security/certified_name.h"

namespace cairn::tools {

// Each prints what it did, and what is to be done next.

// `cluster`: the id of a cluster that runs already; empty: of one that is to be founded.
Status InitAuthority(const std::string& directory, const std::string& cluster, const Clock& clock,
                     std::ostream* out);

struct CertRequest {
  std::string directory;  // of the authority
  std::string kind;       // "node", "client"; of a revocation also "serial"
  std::string name;       // the id of a node, the name of a client, a serial number
  std::vector<std::string> hosts;
  int64_t days = 0;
  std::string out;  // where the TLS directory is made; empty: in the directory of the authority
};
Status IssueCertificate(const CertRequest& request, const Clock& clock, std::ostream* out);
// A new key and certificate with the names of the latest one that was not revoked.
Status RenewCertificate(const CertRequest& request, const Clock& clock, std::ostream* out);
// Revokes all certificates of that name, or the one with the serial number.
Status RevokeCertificates(const CertRequest& request, const Clock& clock, std::ostream* out);
Status ListCertificates(const std::string& directory, const Clock& clock, std::ostream* out);

}  // namespace cairn::tools
