// The examples of Amazon's documentation.
#include "tools/s3_signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

using testing::HasSubstr;

constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr int64_t kTime = 1'369'353'600'000;  // 2013-05-24 00:00:00

S3Credentials Example() {
  return {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "us-east-1"};
}

TEST(S3Signature, IsThatOfTheDocumentation) {
  S3Request request{"GET", "examplebucket.s3.amazonaws.com", "/", {{"lifecycle", ""}}};
  auto headers = SignS3(request, Example(), kOfNothing, kTime);
  EXPECT_EQ(headers["x-amz-date"], "20130524T000000Z");
  EXPECT_EQ(headers["authorization"],
            "AWS4-HMAC-SHA256 "
            "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};
  headers = SignS3(request, Example(), kOfNothing, kTime);
  EXPECT_THAT(headers["authorization"],
              HasSubstr("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(S3Signature, SignsTheTokenToo) {
  S3Credentials passing = Example();
  passing.session_token = "token";
  auto headers = SignS3({"GET", "h", "/", {}}, passing, kOfNothing, kTime);
  EXPECT_EQ(headers["x-amz-security-token"], "token");
  EXPECT_THAT(headers["authorization"],
              HasSubstr("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-"
                        "amz-security-token,"));
}

TEST(S3Signature, EncodesWhatS3Encodes) {
  EXPECT_EQ(UriEncode("/a b/\xC3\xBC~-._*", true), "/a%20b/%C3%BC~-._%2A");
  EXPECT_EQ(UriEncode("a/b+c=", false), "a%2Fb%2Bc%3D");
  EXPECT_EQ(EncodeQuery({{"uploads", ""}, {"prefix", "x/y"}}), "prefix=x%2Fy&uploads=");
}

}  // namespace
}  // namespace cairn::tools
