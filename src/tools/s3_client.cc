#include "tools/s3_client.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/sha256.h"
#include "tools/curl_library.h"

namespace cairn::tools {
namespace {

constexpr int kTriesMax = 5;
constexpr std::chrono::milliseconds kPause(500);  // doubled with each try
constexpr std::chrono::milliseconds kLookEvery(100);
constexpr long kConnectTimeoutMs = 10'000;
constexpr long kSilenceMaxSeconds = 60;
// Of an answer. A list has at most 1,000 keys of 1,024 bytes.
constexpr size_t kAnswerBytesMax = 8 << 20;
constexpr size_t kErrorBytes = 4096;

std::string HashOf(std::string_view bytes) {
  Sha256 sum;
  sum.Add(bytes);
  return sum.Hex();
}

// An error of the storage that may pass.
bool MayPass(long code) { return code == 408 || code == 429 || code >= 500; }

Status ErrorOf(long code, const std::string& body, const std::string& doing) {
  const std::vector<std::string> codes = XmlTexts(body, "Code");
  const std::vector<std::string> messages = XmlTexts(body, "Message");
  std::string text = doing + ": the storage answers " + std::to_string(code);
  if (!codes.empty()) text += " " + codes.front();
  if (!messages.empty()) text += ": " + messages.front();
  if (code == 404) return NotFound(text);
  if (code == 401 || code == 403) return PermissionDenied(text);
  return MayPass(code) ? Unavailable(text) : FailedPrecondition(text);
}

std::string Decoded(std::string text) {
  for (const auto& [name, value] :
       {std::pair("&lt;", "<"), std::pair("&gt;", ">"), std::pair("&quot;", "\""),
        std::pair("&apos;", "'"), std::pair("&#34;", "\""), std::pair("&amp;", "&")}) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      text.replace(at, std::strlen(name), value);
    }
  }
  return text;
}

}  // namespace

// What the callbacks of one request share.
struct S3Client::Sending {
  std::string_view body;
  size_t sent = 0;
  Answer answer;
  const GoesOn* goes_on = nullptr;
  Sha256* hash = nullptr;  // of the answer's body; null: the body is kept

  static size_t OnRead(char* to, size_t size, size_t count, void* self) {
    auto* const sending = static_cast<Sending*>(self);
    const size_t bytes = std::min(size * count, sending->body.size() - sending->sent);
    std::memcpy(to, sending->body.data() + sending->sent, bytes);
    sending->sent += bytes;
    return bytes;
  }
  static size_t OnWrite(char* from, size_t size, size_t count, void* self) {
    auto* const sending = static_cast<Sending*>(self);
    const size_t bytes = size * count;
    if (sending->hash != nullptr) {
      sending->hash->Add(std::string_view(from, bytes));
      // The beginning is enough to tell what an error is.
      if (sending->answer.body.size() < kErrorBytes) sending->answer.body.append(from, bytes);
      return bytes;
    }
    if (sending->answer.body.size() + bytes > kAnswerBytesMax) return 0;
    sending->answer.body.append(from, bytes);
    return bytes;
  }
  static size_t OnHeader(char* from, size_t size, size_t count, void* self) {
    std::string line(from, size * count);
    constexpr std::string_view kTag = "etag:";
    std::string name = line.substr(0, kTag.size());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (name == kTag) {
      const size_t begin = line.find_first_not_of(" ", kTag.size());
      const size_t end = line.find_last_not_of(" \r\n");
      if (begin != std::string::npos && end >= begin) {
        static_cast<Sending*>(self)->answer.etag = line.substr(begin, end - begin + 1);
      }
    }
    return size * count;
  }
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const GoesOn* const goes_on = static_cast<Sending*>(self)->goes_on;
    return goes_on != nullptr && *goes_on && !(*goes_on)() ? 1 : 0;
  }
};

std::vector<std::string> XmlTexts(std::string_view xml, const std::string& tag) {
  std::vector<std::string> texts;
  const std::string open = "<" + tag + ">";
  const std::string close = "</" + tag + ">";
  for (size_t at = xml.find(open); at != std::string_view::npos; at = xml.find(open, at)) {
    at += open.size();
    const size_t end = xml.find(close, at);
    if (end == std::string_view::npos) break;
    texts.push_back(Decoded(std::string(xml.substr(at, end - at))));
    at = end;
  }
  return texts;
}

S3Client::S3Client(S3Place place, GoesOn goes_on, const CurlLibrary* library)
    : place_(std::move(place)),
      goes_on_(std::move(goes_on)),
      library_(*library),
      curl_(library->easy_init()) {}

S3Client::~S3Client() { library_.easy_cleanup(curl_); }

Result<std::unique_ptr<S3Client>> S3Client::Create(S3Place place, GoesOn goes_on) {
  while (place.endpoint.ends_with('/')) place.endpoint.pop_back();
  const size_t scheme = place.endpoint.find("://");
  const bool is_http =
      place.endpoint.starts_with("http://") || place.endpoint.starts_with("https://");
  std::string host = is_http ? place.endpoint.substr(scheme + 3) : "";
  if (host.empty() || host.find_first_of("/?#@ ") != std::string::npos) {
    return InvalidArgument(
        "the endpoint of the storage is a URL such as "
        "https://storage.example:9000");
  }
  ASSIGN_OR_RETURN(const CurlLibrary* const library, CurlLibrary::Load());
  std::unique_ptr<S3Client> client(new S3Client(std::move(place), std::move(goes_on), library));
  client->host_ = std::move(host);
  if (client->curl_ == nullptr) return Internal("libcurl cannot be used");
  return client;
}

bool S3Client::Pause(int tries) const {
  for (auto left = kPause * (1 << tries); left.count() > 0; left -= kLookEvery) {
    if (goes_on_ && !goes_on_()) return false;
    std::this_thread::sleep_for(kLookEvery);
  }
  return true;
}

Result<S3Client::Answer> S3Client::Ask(const std::string& method, const std::string& key,
                                       const Query& query, std::string_view body) {
  for (int tries = 0;; ++tries) {
    Result<Answer> answer = Try(method, key, query, body);
    if (answer.ok() || answer.status().code() != StatusCode::kUnavailable) return answer;
    if (tries + 1 == kTriesMax) return answer;
    if (!Pause(tries)) return Cancelled("the backup was stopped");
  }
}

Result<S3Client::Answer> S3Client::Try(const std::string& method, const std::string& key,
                                       const Query& query, std::string_view body) {
  S3Request request{method, host_, "/" + place_.bucket + (key.empty() ? "" : "/" + key), query};
  const auto headers = SignS3(request, place_.credentials, HashOf(body), SystemClock().WallNowMs());
  const std::string url = place_.endpoint + UriEncode(request.path, true) +
                          (query.empty() ? "" : "?" + EncodeQuery(query));
  Sha256 hash;
  Sending sending{.body = body,
                  .sent = 0,
                  .answer = {},
                  .goes_on = undoes_ ? nullptr : &goes_on_,
                  .hash = hashes_ ? &hash : nullptr};
  curl_slist* lines = library_.slist_append(nullptr, "Expect:");
  for (const auto& [name, value] : headers) {
    lines = library_.slist_append(lines, (name + ": " + value).c_str());
  }
  auto* const curl = static_cast<CURL*>(curl_);
  library_.easy_reset(curl);  // keeps the connection
  library_.easy_setopt(curl, CURLOPT_URL, url.c_str());
  library_.easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  library_.easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
  library_.easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  library_.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  library_.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  library_.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  library_.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceMaxSeconds);
  if (method == "PUT" || method == "POST") {
    library_.easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    library_.easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body.size()));
    library_.easy_setopt(curl, CURLOPT_READFUNCTION, &Sending::OnRead);
    library_.easy_setopt(curl, CURLOPT_READDATA, &sending);
  }
  library_.easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Sending::OnWrite);
  library_.easy_setopt(curl, CURLOPT_WRITEDATA, &sending);
  library_.easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Sending::OnHeader);
  library_.easy_setopt(curl, CURLOPT_HEADERDATA, &sending);
  library_.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  library_.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Sending::OnProgress);
  library_.easy_setopt(curl, CURLOPT_XFERINFODATA, &sending);
  const CURLcode done = library_.easy_perform(curl);
  library_.slist_free_all(lines);
  if (done == CURLE_ABORTED_BY_CALLBACK) return Cancelled("the backup was stopped");
  const std::string doing = method + " " + request.path;
  if (done != CURLE_OK) {
    return Unavailable(doing + " at " + place_.endpoint + ": " + library_.easy_strerror(done));
  }
  library_.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &sending.answer.code);
  if (hashes_) sending.answer.sha256 = hash.Hex();
  if (sending.answer.code >= 200 && sending.answer.code < 300) return std::move(sending.answer);
  return ErrorOf(sending.answer.code, sending.answer.body, doing);
}

Status S3Client::Put(const std::string& key, std::string_view bytes) {
  return Ask("PUT", key, {}, bytes).status();
}

Status S3Client::Remove(const std::string& key) {
  const Status removed = Ask("DELETE", key, {}, "").status();
  return removed.code() == StatusCode::kNotFound ? OkStatus() : removed;
}

Result<std::string> S3Client::Get(const std::string& key, size_t bytes_max) {
  ASSIGN_OR_RETURN(Answer answer, Ask("GET", key, {}, ""));
  if (answer.body.size() > bytes_max) return FailedPrecondition(key + " is longer than it may be");
  return std::move(answer.body);
}

Result<std::string> S3Client::Sha256Of(const std::string& key) {
  hashes_ = true;
  Result<Answer> answer = Ask("GET", key, {}, "");
  hashes_ = false;
  RETURN_IF_ERROR(answer.status());
  return std::move(answer->sha256);
}

Result<std::vector<std::string>> S3Client::List(const std::string& prefix) {
  std::vector<std::string> keys;
  Query query = {{"list-type", "2"}, {"prefix", prefix}};
  for (;;) {
    ASSIGN_OR_RETURN(const Answer answer, Ask("GET", "", query, ""));
    for (std::string& key : XmlTexts(answer.body, "Key")) keys.push_back(std::move(key));
    const std::vector<std::string> next = XmlTexts(answer.body, "NextContinuationToken");
    if (next.empty()) break;
    query["continuation-token"] = next.front();
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

Result<std::string> S3Client::BeginUpload(const std::string& key) {
  ASSIGN_OR_RETURN(const Answer answer, Ask("POST", key, {{"uploads", ""}}, ""));
  std::vector<std::string> ids = XmlTexts(answer.body, "UploadId");
  if (ids.size() != 1) return Internal("the storage gives the upload of " + key + " no name");
  return std::move(ids.front());
}

Result<std::string> S3Client::PutPart(const std::string& key, const std::string& upload, int number,
                                      std::string_view bytes) {
  ASSIGN_OR_RETURN(
      Answer answer,
      Ask("PUT", key, {{"partNumber", std::to_string(number)}, {"uploadId", upload}}, bytes));
  if (answer.etag.empty()) return Internal("the storage gives a part of " + key + " no tag");
  return std::move(answer.etag);
}

// The storage may say 200 and then, in the body, that it has failed.
Status S3Client::CompleteUpload(const std::string& key, const std::string& upload,
                                const std::vector<std::string>& tags) {
  std::string body = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < tags.size(); ++i) {
    body += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + tags[i] +
            "</ETag></Part>";
  }
  body += "</CompleteMultipartUpload>";
  ASSIGN_OR_RETURN(const Answer answer, Ask("POST", key, {{"uploadId", upload}}, body));
  if (answer.body.find("<Error>") == std::string::npos) return OkStatus();
  return ErrorOf(500, answer.body, "complete " + key);
}

Status S3Client::AbortUpload(const std::string& key, const std::string& upload) {
  undoes_ = true;
  const Status aborted = Try("DELETE", key, {{"uploadId", upload}}, "").status();
  undoes_ = false;
  return aborted;
}

Status S3Client::Discard(const std::string& key) {
  undoes_ = true;
  const Status removed = Try("DELETE", key, {}, "").status();
  undoes_ = false;
  return removed;
}

}  // namespace cairn::tools
