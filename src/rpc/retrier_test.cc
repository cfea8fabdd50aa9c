#include "rpc/retrier.h"

#include <gtest/gtest.h>

#include <deque>

namespace cairn::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One thread, and a clock that moves only when a test says so.
class ManualTimers final : public Timers {
 public:
  explicit ManualTimers(ManualClock* clock) : clock_(clock) {}
  void RunAt(SteadyTime when, std::function<void()> task) override {
    tasks_.emplace(when, std::move(task));
  }
  // Moves the clock to the next task and runs it; false if there is none.
  bool Step() {
    if (tasks_.empty()) return false;
    auto first = tasks_.extract(tasks_.begin());
    clock_->Advance(std::max(SteadyTime(0), first.key() - clock_->SteadyNow()));
    first.mapped()();
    return true;
  }
  SteadyTime next() const { return tasks_.begin()->first; }
  bool empty() const { return tasks_.empty(); }

 private:
  ManualClock* const clock_;
  std::multimap<SteadyTime, std::function<void()>> tasks_;
};

struct TestCall : Retrier::Call {
  std::string what;
  std::optional<Status> answer;
};

Status Lost() { return Unavailable("connection lost").With(Outcome::kUnknown); }
Status NotSent() { return Unavailable("no leader").With(Outcome::kNotApplied); }
Status Expired() {
  return FailedPrecondition("who?").With(Outcome::kUnknown).With(Reason::kSessionExpired);
}

class RetrierTest : public ::testing::Test, protected Retrier::Owner {
 protected:
  struct Sent {
    std::string what;
    std::string session;
    uint64_t sequence;
    uint64_t acknowledged_below;
    bool operator==(const Sent&) const = default;
  };

  static Retrier::Options Bounds(size_t calls, size_t bytes) {
    Retrier::Options options;
    options.calls_max = calls;
    options.bytes_max = bytes;
    options.stopped = Cancelled("closed");
    options.new_session_name = [n = 0]() mutable { return "s" + std::to_string(++n); };
    return options;
  }

  // Each try takes the next of the script; past its end, and where it says nothing, a try is held.
  void Send(const Retrier::CallPtr& call) override {
    const auto& test = static_cast<const TestCall&>(*call);
    sent_.push_back({test.what, call->session, call->sequence, call->acknowledged_below});
    if (script_.empty() || !script_.front()) {
      if (!script_.empty()) script_.pop_front();
      held_.push_back(call);
      return;
    }
    const Status status = *script_.front();
    script_.pop_front();
    retrier_.Settle(call, status);
  }
  void Answer(const Retrier::CallPtr& call, Status status) override {
    auto& test = static_cast<TestCall&>(*call);
    ASSERT_FALSE(test.answer.has_value()) << test.what << " is answered twice";
    test.answer = std::move(status);
  }
  Retrier::CallPtr NewOpening() override { return Make("open", seconds(10)); }

  std::shared_ptr<TestCall> Make(const std::string& what, SteadyTime timeout) {
    auto call = std::make_shared<TestCall>();
    call->what = what;
    call->write = true;
    call->deadline = clock_.SteadyNow() + timeout;
    call->session_by = call->deadline;
    return call;
  }
  std::shared_ptr<TestCall> Start(const std::string& what, SteadyTime timeout = seconds(10)) {
    auto call = Make(what, timeout);
    retrier_.Start(call);
    return call;
  }
  // A session is open after this.
  void Warm() {
    script_ = {OkStatus(), OkStatus()};
    ASSERT_TRUE(Start("warm")->answer->ok());
    RunTimers();  // one is of the wait for the session, which is over
    sent_.clear();
  }
  void RunTimers() {
    while (timers_.Step()) {
    }
  }
  size_t TriesOf(const std::string& what) const {
    return static_cast<size_t>(std::count_if(sent_.begin(), sent_.end(),
                                             [&](const Sent& sent) { return sent.what == what; }));
  }

  ManualClock clock_;
  ManualTimers timers_{&clock_};
  std::deque<std::optional<Status>> script_;
  std::vector<Sent> sent_;
  std::vector<Retrier::CallPtr> held_;
  Retrier retrier_{this, &timers_, &clock_, Bounds(4, 1000)};
};

// ---- Names

TEST_F(RetrierTest, OpensASessionOnceAndNamesWritesOutOfItInTheOrderTheyCame) {
  script_ = {std::nullopt};
  const auto a = Start("a");
  const auto b = Start("b");
  EXPECT_EQ(sent_, (std::vector<Sent>{{"open", "s1", 1, 0}}));
  retrier_.Settle(held_.front(), OkStatus());
  EXPECT_EQ(sent_, (std::vector<Sent>{{"open", "s1", 1, 0}, {"a", "s1", 2, 2}, {"b", "s1", 3, 2}}));
}

TEST_F(RetrierTest, AcknowledgesWhatIsAnsweredAndNothingThatMayBeSentAgain) {
  Warm();
  script_ = {Lost(), OkStatus(), OkStatus()};
  Start("a");
  Start("b");
  Start("c");
  EXPECT_EQ(sent_.back(), (Sent{"c", "s1", 5, 3})) << "a, of sequence 3, waits to be sent again";
  RunTimers();
  script_ = {OkStatus()};
  retrier_.Settle(held_.front(), OkStatus());
  Start("d");
  EXPECT_EQ(sent_.back().acknowledged_below, 6U);
}

TEST_F(RetrierTest, AWriteThatHasANameKeepsItAndOpensNoSession) {
  auto call = Make("mine", seconds(10));
  call->session = "theirs";
  call->sequence = 7;
  call->acknowledged_below = 5;
  script_ = {Lost(), OkStatus()};
  retrier_.Start(call);
  RunTimers();
  EXPECT_EQ(sent_, (std::vector<Sent>{{"mine", "theirs", 7, 5}, {"mine", "theirs", 7, 5}}));
  EXPECT_TRUE(call->answer->ok());
}

TEST_F(RetrierTest, AReadHasNoNameAndNoOutcome) {
  auto call = Make("read", milliseconds(5));
  call->write = false;
  script_ = {Lost(), Lost(), Lost(), Lost()};
  retrier_.Start(call);
  RunTimers();
  EXPECT_EQ(sent_.front(), (Sent{"read", "", 0, 0}));
  EXPECT_EQ(call->answer->code(), StatusCode::kUnavailable);
  EXPECT_EQ(call->answer->outcome(), Outcome::kNone);
}

// ---- The opening of the session

TEST_F(RetrierTest, ASessionWhoseOpeningWasLostIsOpenedAgainUnderTheSameName) {
  script_ = {Lost(), OkStatus(), OkStatus()};
  const auto a = Start("a");
  RunTimers();
  EXPECT_EQ(sent_[0], sent_[1]);
  EXPECT_TRUE(a->answer->ok());
}

TEST_F(RetrierTest, AWriteWhoseSessionCannotBeOpenedWasNotApplied) {
  script_ = {ResourceExhausted("too many sessions").With(Outcome::kUnknown)};
  const auto a = Start("a");
  EXPECT_EQ(a->answer->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(a->answer->outcome(), Outcome::kNotApplied) << "it was never sent";
  EXPECT_EQ(TriesOf("a"), 0U);
  script_ = {OkStatus(), OkStatus()};
  EXPECT_TRUE(Start("b")->answer->ok()) << "the next one opens it again";
}

TEST_F(RetrierTest, AWriteHasItsSessionOpenedAgainOnlyForTheTimeThatItsOwnerAllows) {
  script_ = {std::nullopt, std::nullopt};
  auto call = Make("a", seconds(60));
  call->session_by = clock_.SteadyNow() + seconds(3);
  retrier_.Start(call);
  retrier_.Finish(held_[0], NotSent());
  ASSERT_EQ(TriesOf("open"), 2U);
  clock_.Advance(seconds(3));
  retrier_.Finish(held_[1], NotSent());
  ASSERT_TRUE(call->answer.has_value());
  EXPECT_EQ(call->answer->code(), StatusCode::kUnavailable);
  EXPECT_EQ(call->answer->outcome(), Outcome::kNotApplied);
}

// The opening lies in the log of a leader that is cut off, and the first call has a day.
TEST_F(RetrierTest, ACallWaitsForTheSessionUntilItsOwnDeadlineWhateverTheFirstOneAllows) {
  const auto patient = Start("patient", std::chrono::hours(24));
  const auto hasty = Start("hasty", seconds(1));
  EXPECT_EQ(TriesOf("open"), 1U);
  const SteadyTime before = clock_.SteadyNow();
  while (!hasty->answer && timers_.Step()) {
  }
  ASSERT_TRUE(hasty->answer.has_value());
  EXPECT_EQ(clock_.SteadyNow() - before, SteadyTime(seconds(1)));
  EXPECT_EQ(hasty->answer->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(hasty->answer->outcome(), Outcome::kNotApplied);
  EXPECT_FALSE(patient->answer.has_value());
}

TEST_F(RetrierTest, AnOpeningThatIsNotAnsweredInItsShortTimeIsSentAgain) {
  script_ = {std::nullopt, OkStatus(), OkStatus()};
  auto call = Make("a", std::chrono::hours(24));
  call->session_by = clock_.SteadyNow() + seconds(1);
  retrier_.Start(call);
  ASSERT_EQ(held_.size(), 1U);
  EXPECT_EQ(held_[0]->deadline, clock_.SteadyNow() + kOpeningTimeout);
  clock_.Advance(kOpeningTimeout);
  retrier_.Settle(held_[0], DeadlineExceeded("not applied in time").With(Outcome::kUnknown));
  EXPECT_EQ(sent_,
            (std::vector<Sent>{{"open", "s1", 1, 0}, {"open", "s1", 1, 0}, {"a", "s1", 2, 2}}));
  EXPECT_TRUE(call->answer->ok());
}

// ---- Tries

TEST_F(RetrierTest, TriesAgainAfterUnavailableAlone) {
  Warm();
  for (const StatusCode code :
       {StatusCode::kDeadlineExceeded, StatusCode::kInternal, StatusCode::kResourceExhausted,
        StatusCode::kFailedPrecondition, StatusCode::kAborted}) {
    script_ = {Status(code, "no").With(Outcome::kNotApplied)};
    const auto a = Start("a");
    ASSERT_TRUE(a->answer.has_value()) << StatusCodeName(code);
    EXPECT_EQ(a->answer->code(), code);
  }
}

TEST_F(RetrierTest, PausesGrowFromOneToFiftyMilliseconds) {
  Warm();
  for (int i = 0; i < 9; ++i) script_.emplace_back(NotSent());
  const auto a = Start("a");
  std::vector<SteadyTime> pauses;
  while (!timers_.empty()) {
    pauses.push_back(timers_.next() - clock_.SteadyNow());
    timers_.Step();
  }
  EXPECT_EQ(pauses,
            (std::vector<SteadyTime>{milliseconds(1), milliseconds(2), milliseconds(4),
                                     milliseconds(8), milliseconds(16), milliseconds(32),
                                     milliseconds(50), milliseconds(50), milliseconds(50)}));
}

TEST_F(RetrierTest, GoodNewsEndThePausesOfAllThatWait) {
  Warm();
  script_ = {NotSent(), NotSent(), OkStatus(), OkStatus()};
  const auto a = Start("a");
  const auto b = Start("b");
  retrier_.TryDelayed();
  EXPECT_TRUE(a->answer->ok());
  EXPECT_TRUE(b->answer->ok());
  RunTimers();
  EXPECT_EQ(sent_.size(), 4U) << "the timers find nothing to do";
}

TEST_F(RetrierTest, NothingIsSentPastTheDeadline) {
  Warm();
  for (int i = 0; i < 1000; ++i) script_.emplace_back(NotSent());
  const auto a = Start("a", milliseconds(200));
  RunTimers();
  EXPECT_LT(clock_.SteadyNow(), a->deadline);
  EXPECT_EQ(a->answer->code(), StatusCode::kUnavailable) << "why, rather than that it is late";
  EXPECT_EQ(a->answer->outcome(), Outcome::kNotApplied);
  const auto late = Start("late", milliseconds(0));
  EXPECT_EQ(late->answer->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late->answer->outcome(), Outcome::kNotApplied);
  EXPECT_EQ(TriesOf("late"), 0U);
}

// ---- Outcomes

TEST_F(RetrierTest, ALaterNotAppliedAfterAnEarlierUnknownStaysUnknown) {
  Warm();
  const std::vector<Status> lasts = {
      NotSent(), ResourceExhausted("full").With(Outcome::kNotApplied),
      InvalidArgument("replicated, but before the first try").With(Outcome::kNotApplied),
      Expired()};
  for (const Status& last : lasts) {
    script_ = {Lost(), last};
    const auto a = Start("a", milliseconds(3));
    RunTimers();
    ASSERT_TRUE(a->answer.has_value());
    EXPECT_EQ(a->answer->outcome(), Outcome::kUnknown) << last;
  }
}

TEST_F(RetrierTest, AnAppliedErrorIsCertainWhateverCameBefore) {
  Warm();
  script_ = {Lost(), AlreadyExists("UNIQUE").With(Outcome::kApplied)};
  const auto a = Start("a");
  RunTimers();
  EXPECT_EQ(a->answer->code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(a->answer->outcome(), Outcome::kApplied);
}

TEST_F(RetrierTest, AnErrorThatSaysNothingOfAWriteLeavesItUnknown) {
  Warm();
  script_ = {Internal("what?")};
  EXPECT_EQ(Start("a")->answer->outcome(), Outcome::kUnknown);
}

// ---- Sessions that the cluster has forgotten

TEST_F(RetrierTest, AWriteOfAForgottenSessionIsRenamedIfNoTryMayBeApplied) {
  Warm();
  script_ = {NotSent(), Expired(), OkStatus(), OkStatus()};
  const auto a = Start("a");
  RunTimers();
  EXPECT_TRUE(a->answer->ok());
  EXPECT_EQ(sent_[2], (Sent{"open", "s2", 1, 0}));
  EXPECT_EQ(sent_[3], (Sent{"a", "s2", 2, 2}));
}

TEST_F(RetrierTest, AWriteOfAForgottenSessionIsNotRenamedIfATryMayBeApplied) {
  Warm();
  script_ = {Lost(), Expired()};
  const auto a = Start("a");
  RunTimers();
  EXPECT_EQ(a->answer->outcome(), Outcome::kUnknown);
  EXPECT_EQ(a->answer->reason(), Reason::kSessionExpired);
  EXPECT_NE(a->answer->code(), StatusCode::kFailedPrecondition) << "no refusal to who reads codes";
  EXPECT_EQ(sent_.size(), 2U);
  script_ = {OkStatus(), OkStatus()};
  EXPECT_TRUE(Start("b")->answer->ok());
  EXPECT_EQ(sent_.back().session, "s2") << "others have a new session";
}

TEST_F(RetrierTest, AWriteWithANameOfItsOwnersIsNeverRenamed) {
  auto call = Make("mine", seconds(10));
  call->session = "theirs";
  call->sequence = 7;
  script_ = {Expired()};
  retrier_.Start(call);
  EXPECT_EQ(call->answer->reason(), Reason::kSessionExpired);
  EXPECT_EQ(call->answer->outcome(), Outcome::kUnknown) << "its owner may have sent it before";
}

TEST_F(RetrierTest, AllCallsOfAForgottenSessionMoveToOneNewSession) {
  Warm();
  const auto a = Start("a");
  const auto b = Start("b");
  script_ = {OkStatus(), OkStatus(), OkStatus()};
  retrier_.Settle(held_[0], Expired());
  retrier_.Settle(held_[1], Expired());
  EXPECT_TRUE(a->answer->ok());
  EXPECT_TRUE(b->answer->ok());
  EXPECT_EQ(TriesOf("open"), 1U);
}

TEST_F(RetrierTest, AClusterThatForgetsEverySessionIsAskedWithPausesUntilTheDeadline) {
  Warm();
  for (int i = 0; i < 1000; ++i) script_.emplace_back(i % 2 == 0 ? Expired() : OkStatus());
  const auto a = Start("a", milliseconds(200));
  RunTimers();
  EXPECT_LT(TriesOf("a"), 20U);
  EXPECT_EQ(a->answer->outcome(), Outcome::kNotApplied);
}

// ---- Bounds and the end

TEST_F(RetrierTest, PastItsBoundsACallIsRefusedAsNotApplied) {
  Warm();
  for (int i = 0; i < 4; ++i) Start("held");
  const auto fifth = Start("fifth");
  EXPECT_EQ(fifth->answer->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(fifth->answer->outcome(), Outcome::kNotApplied);
  for (int i = 0; i < 3; ++i) retrier_.Settle(held_[static_cast<size_t>(i)], OkStatus());
  auto large = Make("large", seconds(10));
  large->bytes = 1001;
  retrier_.Start(large);
  EXPECT_EQ(large->answer->code(), StatusCode::kResourceExhausted) << "another is under way";
  retrier_.Settle(held_[3], OkStatus());
  auto alone = Make("alone", seconds(10));
  alone->bytes = 1001;
  retrier_.Start(alone);
  EXPECT_FALSE(alone->answer.has_value()) << "one large call is taken when it is alone";
}

TEST_F(RetrierTest, AfterStopNothingIsTriedAndTheOutcomesAreTrue) {
  Warm();
  script_ = {Lost(), NotSent()};
  const auto lost = Start("lost");
  const auto not_sent = Start("not sent");
  retrier_.Stop();
  RunTimers();
  EXPECT_EQ(lost->answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(lost->answer->outcome(), Outcome::kUnknown);
  EXPECT_EQ(not_sent->answer->outcome(), Outcome::kNotApplied);
  const auto late = Start("late");
  EXPECT_EQ(late->answer->outcome(), Outcome::kNotApplied);
  EXPECT_EQ(sent_.size(), 2U);
}

TEST_F(RetrierTest, ACallThatWaitsForItsSessionIsAnsweredAfterStop) {
  script_ = {std::nullopt};
  const auto a = Start("a");
  retrier_.Stop();
  retrier_.Settle(held_.front(), Lost());
  RunTimers();
  ASSERT_TRUE(a->answer.has_value());
  EXPECT_EQ(a->answer->outcome(), Outcome::kNotApplied);
}

}  // namespace
}  // namespace cairn::rpc
