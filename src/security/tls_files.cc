#include "security/tls_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "security/x509.h"

namespace cairn::security {
namespace {

// An open file that is closed in any case.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// A file of mode 0600 is right, and 0640 if root owns it: then the group is one that root chose.
Status CheckKeyMode(const struct stat& file, const std::string& path) {
  const mode_t allowed = file.st_uid == 0 ? 0740 : 0700;
  if ((file.st_mode & 0777 & ~allowed) == 0) return OkStatus();
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(file.st_mode & 07777));
  return FailedPrecondition("others may read the private key " + path + " (mode " + mode +
                            "): chmod 600 " + path);
}

// Whoever may change what is trusted lets anybody in.
Status CheckNobodyElseWrites(const struct stat& facts, const std::string& path) {
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) == 0) return OkStatus();
  return FailedPrecondition("others may change " + path + ": chmod go-w " + path);
}

// NOT_FOUND if there is no such file.
Result<std::string> ReadFile(const std::string& path, bool is_key) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus("open " + path, errno);
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0) return ErrnoStatus("stat " + path, errno);
  if (!S_ISREG(facts.st_mode)) return FailedPrecondition(path + " is not a file");
  if (is_key) RETURN_IF_ERROR(CheckKeyMode(facts, path));
  RETURN_IF_ERROR(CheckNobodyElseWrites(facts, path));
  std::string text(kPemBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read " + path, errno);
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  if (size > kPemBytesMax) return FailedPrecondition(path + " is larger than 256 KiB");
  text.resize(size);
  return text;
}

Result<std::string> ReadIfThere(const std::string& path, bool is_key = false) {
  Result<std::string> text = ReadFile(path, is_key);
  if (text.status().code() == StatusCode::kNotFound) return std::string();
  return text;
}

Status CheckPair(const TlsFiles& files, const std::string& at) {
  if (files.certificate.empty() != files.key.empty()) {
    return FailedPrecondition(at + "tls.crt and " + at +
                              "tls.key belong together, and one is missing");
  }
  if (files.key.empty()) return OkStatus();
  Result<std::vector<CertificatePtr>> chain = ParseCertificates(files.certificate);
  if (!chain.ok()) return Status(chain.status()).Prefixed(at + kCertificateFile);
  Result<KeyPtr> key = ParseKey(files.key);
  if (!key.ok()) return Status(key.status()).Prefixed(at + kKeyFile);
  if (X509_check_private_key(chain->front().get(), key->get()) == 1) return OkStatus();
  (void)OpenSslError("");  // empties the queue
  return FailedPrecondition(at + "tls.key is not the key of the first certificate in " + at +
                            kCertificateFile);
}

}  // namespace

Result<TlsFiles> ReadTlsFiles(const std::string& directory) {
  const std::string at = directory + "/";
  struct stat facts {};
  if (::stat(directory.c_str(), &facts) == 0) {
    RETURN_IF_ERROR(CheckNobodyElseWrites(facts, directory));
  }
  TlsFiles files;
  Result<std::string> authorities = ReadFile(at + kAuthoritiesFile, /*is_key=*/false);
  if (authorities.status().code() == StatusCode::kNotFound) {
    return FailedPrecondition(at +
                              "ca.crt is missing: a TLS directory holds ca.crt (the site's "
                              "authorities), tls.crt and tls.key, as 'cairn cert issue' makes it");
  }
  if (!authorities.ok()) return authorities.status();
  files.authorities = *std::move(authorities);
  ASSIGN_OR_RETURN(files.certificate, ReadIfThere(at + kCertificateFile));
  ASSIGN_OR_RETURN(files.key, ReadIfThere(at + kKeyFile, /*is_key=*/true));
  const Result<std::string> revoked = ReadFile(at + kRevokedFile, /*is_key=*/false);
  if (revoked.ok() && revoked->empty()) {
    return FailedPrecondition(at + "ca.crl is empty: copy the list of the authority there");
  }
  if (!revoked.ok() && revoked.status().code() != StatusCode::kNotFound) return revoked.status();
  if (revoked.ok()) files.revoked = *revoked;
  RETURN_IF_ERROR(CheckPair(files, at));
  return files;
}

Result<std::string> ReadSecretFile(const std::string& path) {
  return ReadFile(path, /*is_key=*/true);
}

std::string StampOf(const std::string& directory) {
  std::string stamp;
  for (const char* name : {kAuthoritiesFile, kCertificateFile, kKeyFile, kRevokedFile}) {
    struct stat facts {};
    if (::stat((directory + "/" + name).c_str(), &facts) != 0) {
      stamp += "-;";
      continue;
    }
    for (const int64_t part : {int64_t(facts.st_dev), int64_t(facts.st_ino), int64_t(facts.st_size),
                               int64_t(facts.st_mtim.tv_sec), int64_t(facts.st_mtim.tv_nsec),
                               int64_t(facts.st_ctim.tv_sec), int64_t(facts.st_ctim.tv_nsec)}) {
      stamp += std::to_string(part) + ",";
    }
    stamp += ";";
  }
  return stamp;
}

Status WriteTlsFile(const std::string& path, std::string_view data, bool secret) {
  const std::string temporary = path + ".new";
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus("remove " + temporary, errno);
  }
  {
    const mode_t mode = secret ? 0600 : 0644;
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (file.get() < 0) return ErrnoStatus("create " + temporary, errno);
    size_t written = 0;
    while (written < data.size()) {
      const ssize_t count = ::write(file.get(), data.data() + written, data.size() - written);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoStatus("write " + temporary, errno);
      written += static_cast<size_t>(count);
    }
    if (::fsync(file.get()) != 0) return ErrnoStatus("sync " + temporary, errno);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return ErrnoStatus("rename to " + path, errno);
  return OkStatus();
}

}  // namespace cairn::security
