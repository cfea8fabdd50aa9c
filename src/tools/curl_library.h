// CurlLibrary: libcurl, loaded when a command first speaks HTTP.
//
// A server never does. Linked in the usual way, libcurl and the thirty libraries that it brings would take
// 3 MB of the memory of each node.
#pragma once

#include <curl/curl.h>

#include "base/result.h"

namespace cairn::tools {

// Each function is libcurl's of that name.
struct CurlLibrary {
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_reset) easy_reset = nullptr;
  CURLcode (*easy_setopt)(CURL*, CURLoption, ...) = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  CURLcode (*easy_getinfo)(CURL*, CURLINFO, ...) = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;

  // Loads the library once, and never unloads it. Thread-safe. FAILED_PRECONDITION, with advice, if it is
  // not installed.
  static Result<const CurlLibrary*> Load();
};

}  // namespace cairn::tools
