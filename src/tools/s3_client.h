// S3Client: the few requests to an S3-compatible storage that backups need.
//
// The bucket is part of the path, so that storages under any name work:
// http://host:9000/bucket/key. A request that fails by a broken link, or by an
// error of the storage, is tried again a few times. Memory: one part.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "tools/s3_signature.h"

namespace cairn::tools {

struct CurlLibrary;

struct S3Place {
  std::string endpoint;  // "https://s3.eu-central-1.amazonaws.com",
                         // "http://127.0.0.1:9000"
  std::string bucket;
  S3Credentials credentials;
};

// False ends a request under way, and its tries, with CANCELLED.
using GoesOn = std::function<bool()>;

// One thread at a time.
class S3Client {
 public:
  // INVALID_ARGUMENT for an endpoint that is no URL of HTTP or HTTPS.
  static Result<std::unique_ptr<S3Client>> Create(S3Place place, GoesOn goes_on);
  ~S3Client();
  S3Client(const S3Client&) = delete;
  S3Client& operator=(const S3Client&) = delete;

  Status Put(const std::string& key, std::string_view bytes);
  Status Remove(const std::string& key);  // OK if there is none
  Result<std::string> Get(const std::string& key, size_t bytes_max);
  // The SHA-256 of an object of any size, as 64 hexadecimal digits.
  Result<std::string> Sha256Of(const std::string& key);
  // The keys that begin with `prefix`, in their order.
  Result<std::vector<std::string>> List(const std::string& prefix);

  // An object in parts. It is there when CompleteUpload is OK.
  Result<std::string> BeginUpload(const std::string& key);
  // Returns the tag of the part. `number` from 1.
  Result<std::string> PutPart(const std::string& key, const std::string& upload, int number,
                              std::string_view bytes);
  Status CompleteUpload(const std::string& key, const std::string& upload,
                        const std::vector<std::string>& tags);
  // These two are asked once, and not ended: they undo what was begun.
  Status AbortUpload(const std::string& key, const std::string& upload);
  Status Discard(const std::string& key);

 private:
  struct Answer {
    long code = 0;
    std::string body;
    std::string etag;
    std::string sha256;  // of the body, if only that was wanted
  };
  struct Sending;
  using Query = std::map<std::string, std::string>;

  S3Client(S3Place place, GoesOn goes_on, const CurlLibrary* library);
  // An answer of 200 to 299.
  Result<Answer> Ask(const std::string& method, const std::string& key, const Query& query,
                     std::string_view body);
  Result<Answer> Try(const std::string& method, const std::string& key, const Query& query,
                     std::string_view body);
  // Returns false if the caller does not want to go on.
  bool Pause(int tries) const;

  const S3Place place_;
  const GoesOn goes_on_;
  bool undoes_ = false;
  bool hashes_ = false;  // the bodies of answers are hashed, and not kept
  std::string host_;     // of the endpoint, with its port
  const CurlLibrary& library_;
  void* const curl_;
};

// What stands between <tag> and </tag> of each such element, with &amp; and the
// like decoded. For the answers of S3, which are flat.
std::vector<std::string> XmlTexts(std::string_view xml, const std::string& tag);

}  // namespace cairn::tools
