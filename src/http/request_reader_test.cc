#include "http/request_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"

namespace cairn::http {
namespace {

using Next = RequestReader::Next;

Request RequestOf(const Next& next) {
  EXPECT_TRUE(std::holds_alternative<Request>(next));
  return std::holds_alternative<Request>(next) ? std::get<Request>(next) : Request();
}

int RefusalOf(const Next& next) {
  return std::holds_alternative<Response>(next) ? std::get<Response>(next).status : 0;
}

TEST(RequestReader, ARequestIsTheSameInOnePieceAndByteByByte) {
  const std::string bytes =
      "POST /v1/status?all=1 HTTP/1.1\r\nHost: node1:9090\r\nContent-Length: 5\r\n\r\nhello";
  RequestReader whole({});
  const Request request = RequestOf(whole.Feed(bytes));
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/v1/status");
  EXPECT_EQ(request.query, "all=1");
  EXPECT_EQ(request.body, "hello");
  EXPECT_TRUE(request.keep_alive);
  RequestReader pieces({});
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    ASSERT_TRUE(std::holds_alternative<std::monostate>(pieces.Feed(bytes.substr(i, 1)))) << i;
    EXPECT_TRUE(pieces.in_request());
  }
  const Request last = RequestOf(pieces.Feed(bytes.substr(bytes.size() - 1)));
  EXPECT_EQ(last.path, "/v1/status");
  EXPECT_EQ(last.body, "hello");
  EXPECT_FALSE(pieces.in_request());
}

TEST(RequestReader, RequestsThatComeTogetherAreGivenOneByOne) {
  RequestReader reader({});
  const std::string one = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(RequestOf(reader.Feed(one + "HEAD /metrics HTTP/1.0\r\n\r\nGET /x")).path, "/livez");
  const Request second = RequestOf(reader.Continue());
  EXPECT_EQ(second.method, "HEAD");
  EXPECT_FALSE(second.keep_alive);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(reader.Continue()));
  EXPECT_TRUE(reader.in_request());
}

TEST(RequestReader, TheTargetOfAProxyIsItsPath) {
  const auto path_of = [](const std::string& target) {
    RequestReader reader({});
    return RequestOf(reader.Feed("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")).path;
  };
  EXPECT_EQ(path_of("http://node1:9090/metrics"), "/metrics");
  EXPECT_EQ(path_of("http://node1:9090"), "/");
  EXPECT_EQ(path_of("/a://b"), "/a://b");
  EXPECT_EQ(path_of("*"), "*");
}

TEST(RequestReader, TooLargeAHeaderIs431WhereverItIsLarge) {
  RequestLimits limits;
  limits.header_bytes_max = 256;
  const std::string large(300, 'x');
  for (const std::string& bytes :
       {"GET /" + large, "GET / HTTP/1.1\r\nA: " + large, large, "GET / HTTP/1.1\r\n" + [] {
          std::string lines;
          for (int i = 0; i < 60; ++i) lines += "A: b\r\n";
          return lines;
        }()}) {
    RequestReader at_once(limits);
    EXPECT_EQ(RefusalOf(at_once.Feed(bytes)), 431) << bytes;
    RequestReader slow(limits);
    int refusal = 0;
    for (size_t i = 0; i < bytes.size() && refusal == 0; ++i) {
      refusal = RefusalOf(slow.Feed(bytes.substr(i, 1)));
      EXPECT_LE(slow.buffered(), limits.header_bytes_max + 1);
    }
    EXPECT_EQ(refusal, 431) << bytes;
  }
}

// The parser of Beast 1.74 bounds neither a chunk's extension nor a trailer, so one connection could hold
// hundreds of megabytes, and a trailer that came byte by byte aborted the process.
TEST(RequestReader, AChunkedBodyIs411BeforeAnyChunkIsRead) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* rest : {"3\r\nabc\r\n0\r\n\r\n", "1;a=", "0\r\nA: ", "1\r\na\r\n0\r\nA: "}) {
    const std::string bytes = head + rest + std::string(2000, 'x');
    RequestReader at_once({});
    EXPECT_EQ(RefusalOf(at_once.Feed(bytes)), 411) << rest;
    RequestReader pieces({});
    int refusal = 0;
    size_t used = 0;
    while (refusal == 0) refusal = RefusalOf(pieces.Feed(bytes.substr(used++, 1)));
    EXPECT_EQ(refusal, 411) << rest;
    EXPECT_EQ(used, head.size()) << rest;
  }
}

TEST(RequestReader, TooLargeABodyIs413BeforeItHasCome) {
  RequestLimits limits;
  limits.body_bytes_max = 100;
  RequestReader announced(limits);
  EXPECT_EQ(RefusalOf(announced.Feed("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n")),
            413);
}

TEST(RequestReader, WhatIsNoRequestIs400) {
  for (const char* bytes :
       {"\x16\x03\x01\x02hello\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nNo colon\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\r\n\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}) {
    RequestReader reader({});
    EXPECT_EQ(RefusalOf(reader.Feed(bytes)), 400) << bytes;
  }
}

TEST(RequestReader, NoBytesBreakIt) {
  Rng rng(7);
  const std::string sound = "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = sound;
    for (uint64_t i = 0, n = rng.Next() % 4; i < n; ++i) {
      bytes[rng.Next() % bytes.size()] = static_cast<char>(rng.Next());
    }
    RequestReader reader({});
    Next next = reader.Feed(bytes.substr(0, rng.Next() % bytes.size()));
    if (std::holds_alternative<std::monostate>(next)) next = reader.Feed(bytes);
    for (int i = 0; i < 8 && std::holds_alternative<Request>(next); ++i) next = reader.Continue();
    EXPECT_LE(reader.buffered(), 2 * bytes.size());
  }
}

}  // namespace
}  // namespace cairn::http
