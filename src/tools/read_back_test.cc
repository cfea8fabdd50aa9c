#include "tools/read_back.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/sha256.h"

namespace cairn::tools {
namespace {

TEST(ReadBack, IsTheSumOfWhatIsStored) {
  const std::string path = testing::TempDir() + "/read_back.bin";
  const std::string content(3'500'000, 'x');
  std::ofstream(path, std::ios::binary) << content;
  Sha256 sum;
  sum.Add(content);
  const Result<std::string> read = Sha256OfStored(path, {});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, sum.Hex());
  // One bit less.
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(1'000'000).put('y');
  EXPECT_NE(*Sha256OfStored(path, {}), *read);
  EXPECT_EQ(Sha256OfStored(path, [] { return false; }).status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(Sha256OfStored(path + ".none", {}).ok());
}

}  // namespace
}  // namespace cairn::tools
