// WatchHub: watches that are told from the database, because the ring does not go back so far.

#include <memory>
#include <utility>

#include "server/watch_hub.h"
#include "server/watch_hub_impl.h"

namespace cairn::server {

namespace {

// Pages that are read at once, and wait in memory.
constexpr size_t kPagesMax = 4;

}  // namespace

// False if the database cannot have what the watch needs.
bool WatchHub::GoBack(const WatchPtr& watch) {
  std::vector<std::string> tables = TablesOf(watch->filters);
  if (read_history_ == nullptr || tables.empty()) return false;
  watch->history = std::make_shared<WatchHistory>(std::move(tables));
  AskForPage(watch);
  return true;
}

void WatchHub::AskForPage(const WatchPtr& watch) {
  if (std::exchange(watch->reading, true)) return;
  awaiting_page_.push_back(watch);
  StartPages();
}

void WatchHub::StartPages() {
  while (pages_being_read_ < kPagesMax && !awaiting_page_.empty()) {
    const WatchPtr watch = std::move(awaiting_page_.front());
    awaiting_page_.pop_front();
    if (watch->ended || watch->history == nullptr) {
      watch->reading = false;
      continue;
    }
    ++pages_being_read_;
    const AskedPage asked{watch, watch->history, watch->position};
    read_history_(watch->history->Query(watch->position), watch->principal,
                  [this, asked](Result<state_machine::RetainedPage> page) {
                    const auto read = std::make_shared<const Result<state_machine::RetainedPage>>(
                        std::move(page));
                    Post([this, asked, read] { OnPage(asked, *read); });
                  });
  }
}

void WatchHub::OnPage(const AskedPage& asked, const Result<state_machine::RetainedPage>& page) {
  const WatchPtr& watch = asked.watch;
  --pages_being_read_;
  StartPages();
  watch->reading = false;
  // With a message under way the watch asks again when that is taken.
  if (watch->ended || watch->sending) return;
  if (watch->history != asked.history || watch->position != asked.after) return Serve(watch);
  if (!page.ok()) return DoEnd(watch, page.status());
  watch->retained.reset();
  if (page->retained) watch->retained = page->oldest;
  if (!page->retained || watch->position < page->oldest) return DoEnd(watch, NotHeld(watch));
  if (watch->first_due) return SendFirst(watch, page->oldest);
  TakePage(watch, *page);
}

void WatchHub::TakePage(const WatchPtr& watch, const state_machine::RetainedPage& page) {
  const Position before = watch->history->cursor();
  const Result<WatchSegmentPtr> next =
      watch->history->Take(page, watch->position, visible_, &watch->group->feed);
  if (!next.ok()) return DoEnd(watch, next.status());
  if (!(*next)->fields.empty()) return SendSegment(watch, **next);
  // Otherwise nothing more may be told yet: the next tick asks again.
  const bool moved = before < watch->history->cursor();
  if (std::exchange(watch->position, (*next)->through) < (*next)->through || moved) Serve(watch);
}

Status WatchHub::NotHeld(const WatchPtr& watch) const {
  Position oldest = share_.ring->oldest().value_or(share_.ring->newest());
  if (watch->retained) oldest = std::min(oldest, *watch->retained);
  return OutOfRange(state_machine::NotHeldText(watch->position, oldest, share_.ring->restored_at()))
      .With(Reason::kPositionNotHeld);
}

}  // namespace cairn::server
