#include "tools/spooled_output.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::tools {
namespace {

// A reader that takes nothing before it is let.
class SlowReader final : public std::streambuf {
 public:
  void Let() {
    MutexLock lock(mutex_);
    let_ = true;
    changed_.NotifyAll();
  }
  std::string taken;

 protected:
  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    MutexLock lock(mutex_);
    while (!let_) changed_.Wait(lock);
    taken.append(bytes, static_cast<size_t>(count));
    return count;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool let_ CAIRN_GUARDED_BY(mutex_) = false;
};

// Otherwise the node would end the dump's query, and `cairn dump A | less` would fail.
TEST(SpooledOutputTest, TheWriterNeverWaitsForTheReader) {
  SlowReader reader;
  std::ostream out(&reader);
  std::unique_ptr<SpooledOutput> spool = *SpooledOutput::New(&out);
  std::ostream in(spool.get());
  std::string all;
  for (int i = 0; i < 5000; ++i) {
    const std::string line = std::to_string(i) + std::string(i % 997, 'x') + "\n";
    in << line << 'c' << i;
    all += line + 'c' + std::to_string(i);
  }
  const std::string large(1 << 20, 'y');
  in << large;
  EXPECT_TRUE(in.good());
  reader.Let();
  EXPECT_TRUE(spool->Finish().ok());
  EXPECT_EQ(reader.taken, all + large);
}

TEST(SpooledOutputTest, AReaderThatIsGoneEndsTheWriter) {
  class Gone final : public std::streambuf {};
  Gone gone;
  std::ostream out(&gone);
  std::unique_ptr<SpooledOutput> spool = *SpooledOutput::New(&out);
  std::ostream in(spool.get());
  const std::string part(1 << 20, 'x');
  while (in << part) {
  }
  EXPECT_EQ(spool->Finish().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace cairn::tools
