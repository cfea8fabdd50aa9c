// Authority: a site's own certificate authority, as `cairn cert` keeps it in a directory of the
// operator.
//
//   root.key, root.crt        sign only the issuing certificate; the root is what a site trusts
//   issuing.key, issuing.crt  sign all others
//   ca.crt                    both certificates: what each node and client gets
//   ca.crl                    what is revoked, signed by the issuing key
//   cluster                   the id of the site's cluster
//   issued/SERIAL.crt         every certificate that was issued
//
// All keys are of P-256, which every TLS library knows. Certificates begin in 1970, because a box
// without a clock boots in 1970.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/locked_file.h"
#include "base/result.h"
#include "security/certified_name.h"
#include "security/x509.h"

namespace cairn::security {

// One owner. Two processes must not use one directory at a time: the one that comes second gets
// FAILED_PRECONDITION.
class Authority {
 public:
  // Makes the directory and the keys. ALREADY_EXISTS if there is an authority in it, or a part.
  static Result<Authority> Init(const std::string& directory, uint64_t cluster_id,
                                const Clock& clock);
  static Result<Authority> Open(const std::string& directory, const Clock& clock);

  uint64_t cluster_id() const { return cluster_id_; }

  struct Request {
    CertifiedName name;
    std::vector<std::string> hosts;  // names and addresses of a node
    int64_t days = 0;
  };
  struct Issued {
    CertifiedName name;
    std::vector<std::string> hosts;
    std::string serial;
    int64_t expires_s = 0;
    bool revoked = false;
  };
  // Makes a new key and a certificate for it, and writes a TLS directory (tls_files.h) to `out`.
  // Nothing of the old files stays there if the call succeeds.
  Result<Issued> Issue(const Request& request, const std::string& out);
  // All that were issued, clients first; of one name the latest to expire last.
  Result<std::vector<Issued>> List() const;
  // Revokes the certificate with that serial number. NOT_FOUND if none was issued under it. Writes
  // ca.crl, which the operator brings to the nodes, and its copies in the TLS directories that lie
  // in the directory.
  Status Revoke(const std::string& serial);

 private:
  Authority(std::string directory, const Clock& clock)
      : directory_(std::move(directory)), clock_(&clock) {}
  Status MakeKeys();
  Status WriteRevoked(const std::vector<std::string>& serials) const;
  Result<std::vector<std::string>> RevokedSerials() const;
  Status GiveOutRevoked() const;

  std::string directory_;
  std::unique_ptr<LockedFile> lock_;
  const Clock* clock_;
  uint64_t cluster_id_ = 0;
  KeyPtr key_;  // the issuing one
  CertificatePtr certificate_;
  std::string authorities_;  // ca.crt
};

}  // namespace cairn::security
