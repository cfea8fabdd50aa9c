#include "base/checksum_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"

namespace cairn {
namespace {

std::string Sha256Of(std::string_view bytes) {
  Sha256 sum;
  sum.Add(bytes.substr(0, bytes.size() / 2));
  sum.Add(bytes.substr(bytes.size() / 2));
  return sum.Hex();
}

TEST(Sha256, IsThatOfTheStandard) {
  EXPECT_EQ(Sha256Of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ChecksumFile, IsReadBackAndIsOfSha256sum) {
  const ChecksumFile file{Sha256Of("abc"), "b.db", {{"index", "7"}, {"term", "2"}}};
  const std::string text = EncodeChecksumFile(file);
  EXPECT_EQ(text, "# cairn backup: index=7 term=2\n" + file.sha256 + "  b.db\n");
  const auto read = DecodeChecksumFile(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->sha256, file.sha256);
  EXPECT_EQ(read->name, "b.db");
  EXPECT_EQ(read->notes, file.notes);
}

TEST(ChecksumFile, OneMadeByHandIsEnough) {
  const std::string digest(64, 'A');
  const auto read = DecodeChecksumFile(digest + " *b.db\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->sha256, std::string(64, 'a'));
  EXPECT_EQ(read->name, "b.db");
}

TEST(ChecksumFile, AnotherTextIsRefused) {
  for (const char* text : {"", "\n", "abc  b.db\n", "# cairn backup: index=7\n"}) {
    EXPECT_EQ(DecodeChecksumFile(text).status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace cairn
