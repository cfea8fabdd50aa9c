#include "tools/curl_library.h"

#include <dlfcn.h>

#include <string>

namespace cairn::tools {
namespace {

// The name has the version of the interface.
constexpr char kName[] = "libcurl.so.4";

template <class Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

Result<CurlLibrary> Open() {
  void* const library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  CurlLibrary curl;
  const bool found = library != nullptr && Find(library, "curl_easy_init", &curl.easy_init) &&
                     Find(library, "curl_easy_cleanup", &curl.easy_cleanup) &&
                     Find(library, "curl_easy_reset", &curl.easy_reset) &&
                     Find(library, "curl_easy_setopt", &curl.easy_setopt) &&
                     Find(library, "curl_easy_perform", &curl.easy_perform) &&
                     Find(library, "curl_easy_getinfo", &curl.easy_getinfo) &&
                     Find(library, "curl_easy_strerror", &curl.easy_strerror) &&
                     Find(library, "curl_slist_append", &curl.slist_append) &&
                     Find(library, "curl_slist_free_all", &curl.slist_free_all);
  if (found) return curl;
  const char* const why = dlerror();
  return FailedPrecondition(std::string("libcurl is needed for S3 (apt-get install libcurl4): ") +
                            (why == nullptr ? kName : why));
}

}  // namespace

Result<const CurlLibrary*> CurlLibrary::Load() {
  static const Result<CurlLibrary> library = Open();
  RETURN_IF_ERROR(library.status());
  return &*library;
}

}  // namespace cairn::tools
