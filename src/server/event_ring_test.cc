#include "server/event_ring.h"

#include <gtest/gtest.h>

namespace cairn::server {
namespace {

using std::chrono::seconds;

Condition Of(const std::string& kind, const std::string& subject = "",
             SteadyTime after = seconds(0)) {
  return {kind, subject, EventSeverity::kWarning, kind + " holds", "do something", after};
}

TEST(EventRing, AConditionThatComesBackIsOneEvent) {
  EventRing ring;
  ring.Look({Of("disk_low")}, seconds(1), 1000);
  ring.Look({Of("disk_low")}, seconds(2), 2000);
  ring.Look({}, seconds(3), 3000);
  ASSERT_EQ(ring.Events().size(), 1u);
  EXPECT_FALSE(ring.Events()[0].active);
  ring.Look({Of("disk_low")}, seconds(4), 4000);
  const std::vector<NodeEvent> events = ring.Events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].first_ms, 1000);
  EXPECT_EQ(events[0].last_ms, 4000);
  EXPECT_EQ(events[0].count, 2u);
  EXPECT_TRUE(events[0].active);
  EXPECT_EQ(events[0].text, "disk_low holds");
}

TEST(EventRing, AConditionMustHoldForItsTimeWithoutAGap) {
  EventRing ring;
  ring.Look({Of("member_away", "node 2", seconds(60))}, seconds(0), 0);
  ring.Look({Of("member_away", "node 2", seconds(60))}, seconds(59), 0);
  EXPECT_TRUE(ring.Events().empty());
  ring.Look({}, seconds(60), 0);
  ring.Look({Of("member_away", "node 2", seconds(60))}, seconds(61), 0);
  ring.Look({Of("member_away", "node 2", seconds(60))}, seconds(120), 0);
  EXPECT_TRUE(ring.Events().empty());
  ring.Look({Of("member_away", "node 2", seconds(60))}, seconds(121), 0);
  EXPECT_EQ(ring.Events().size(), 1u);
}

TEST(EventRing, SubjectsAreApartAndTheActiveOnesComeFirst) {
  EventRing ring;
  ring.Look({Of("member_away", "node 2")}, seconds(1), 1000);
  ring.Look({Of("member_away", "node 3")}, seconds(2), 2000);
  ring.Look({Of("member_away", "node 2")}, seconds(3), 3000);
  const std::vector<NodeEvent> events = ring.Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].subject, "node 2");
  EXPECT_TRUE(events[0].active);
  EXPECT_FALSE(events[1].active);
  EXPECT_EQ(ring.Active(EventSeverity::kWarning), 1u);
  EXPECT_EQ(ring.Active(EventSeverity::kCritical), 0u);
}

TEST(EventRing, PastTheBoundTheOldestThatIsOverGoes) {
  EventRing ring(3);
  ring.Look({Of("a")}, seconds(1), 1000);
  for (int i = 2; i < 10; ++i) {
    ring.Look({Of("a"), Of("kind " + std::to_string(i))}, seconds(i), i * 1000);
  }
  const std::vector<NodeEvent> events = ring.Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].first_ms + events[1].first_ms, 1000 + 9000) << "the one that holds stays";
  EXPECT_EQ(events[2].kind, "kind 8");
}

}  // namespace
}  // namespace cairn::server
