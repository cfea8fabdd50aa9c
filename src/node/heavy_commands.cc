#include "node/heavy_commands.h"

#include <iterator>
#include <utility>

namespace cairn::node {
namespace {

// What a turn costs that is not measured yet.
constexpr uint64_t kStepsOfATurn = 1;

}  // namespace

void HeavyCommands::Count(const PendingCommand& command, bool comes) {
  commands_ += comes ? 1 : -1;
  bytes_ += comes ? command.bytes() : -command.bytes();
  if (command.traits().maintenance) maintenance_ += comes ? 1 : -1;
}

void HeavyCommands::Add(PendingCommandPtr command) {
  Count(*command, true);
  const uint64_t client = command->traits().client;
  const auto known = by_client_.find(client);
  if (known != by_client_.end()) return known->second->commands.push_back(std::move(command));
  const uint64_t principal = command->traits().principal;
  Queues& queues = principals_[principal];
  Queue& queue = queues.emplace_back();
  queue.client = client;
  queue.principal = principal;
  queue.commands.push_back(std::move(command));
  if (client != 0) by_client_[client] = std::prev(queues.end());
  turns_.Enter(principal);
}

PendingCommandPtr HeavyCommands::Pop(Queues::iterator queue) {
  PendingCommandPtr command = std::move(queue->commands.front());
  queue->commands.pop_front();
  Count(*command, false);
  if (!queue->commands.empty()) return command;
  if (queue->client != 0) by_client_.erase(queue->client);
  const uint64_t principal = queue->principal;
  const auto queues = principals_.find(principal);
  queues->second.erase(queue);
  if (queues->second.empty()) {
    principals_.erase(queues);
    turns_.Leave(principal);
  }
  return command;
}

PendingCommandPtr HeavyCommands::Take() {
  const uint64_t principal = turns_.Next();
  turns_.Charge(principal, kStepsOfATurn);
  Queues& queues = principals_.at(principal);
  const auto queue = queues.begin();
  queues.splice(queues.end(), queues, queue);
  return Pop(queue);
}

const PendingCommand* HeavyCommands::Next(uint64_t client) const {
  const auto known = by_client_.find(client);
  return known == by_client_.end() ? nullptr : known->second->commands.front().get();
}

PendingCommandPtr HeavyCommands::TakeNext(uint64_t client) { return Pop(by_client_.at(client)); }

bool HeavyCommands::Any(const PendingCommandTest& test) const {
  for (const auto& [principal, queues] : principals_) {
    for (const Queue& queue : queues) {
      for (const PendingCommandPtr& command : queue.commands) {
        if (test(*command)) return true;
      }
    }
  }
  return false;
}

std::vector<PendingCommandPtr> HeavyCommands::TakeIf(const PendingCommandTest& test) {
  std::vector<PendingCommandPtr> taken;
  if (!Any(test)) return taken;
  for (PendingCommandPtr& command : TakeAll()) {
    if (test(*command)) {
      taken.push_back(std::move(command));
    } else {
      Add(std::move(command));
    }
  }
  return taken;
}

std::vector<PendingCommandPtr> HeavyCommands::TakeAll() {
  std::vector<PendingCommandPtr> all;
  while (!principals_.empty()) all.push_back(Pop(principals_.begin()->second.begin()));
  return all;
}

}  // namespace cairn::node
