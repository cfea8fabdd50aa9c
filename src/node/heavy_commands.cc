#include "node/heavy_commands.h"

#include <utility>

namespace cairn::node {

void HeavyCommands::Count(const PendingCommand& command, bool comes) {
  bytes_ += comes ? command.bytes() : -command.bytes();
  if (command.traits().maintenance) maintenance_ += comes ? 1 : -1;
}

void HeavyCommands::Add(PendingCommandPtr command) {
  Count(*command, true);
  const uint64_t client = command->traits().client;
  const auto known = by_client_.find(client);
  if (known != by_client_.end()) return known->second->commands.push_back(std::move(command));
  turns_.emplace_back().client = client;
  turns_.back().commands.push_back(std::move(command));
  if (client != 0) by_client_[client] = std::prev(turns_.end());
}

PendingCommandPtr HeavyCommands::Pop(Turns::iterator queue) {
  PendingCommandPtr command = std::move(queue->commands.front());
  queue->commands.pop_front();
  Count(*command, false);
  if (queue->commands.empty()) {
    by_client_.erase(queue->client);
    turns_.erase(queue);
  }
  return command;
}

PendingCommandPtr HeavyCommands::Take() {
  const auto queue = turns_.begin();
  turns_.splice(turns_.end(), turns_, queue);
  return Pop(queue);
}

const PendingCommand* HeavyCommands::Next(uint64_t client) const {
  const auto known = by_client_.find(client);
  return known == by_client_.end() ? nullptr : known->second->commands.front().get();
}

PendingCommandPtr HeavyCommands::TakeNext(uint64_t client) { return Pop(by_client_.at(client)); }

std::vector<PendingCommandPtr> HeavyCommands::TakeExpired(SteadyTime now) {
  std::vector<PendingCommandPtr> expired;
  for (PendingCommandPtr& command : TakeAll()) {
    if (command->deadline() <= now) {
      expired.push_back(std::move(command));
    } else {
      Add(std::move(command));
    }
  }
  return expired;
}

std::vector<PendingCommandPtr> HeavyCommands::TakeAll() {
  std::vector<PendingCommandPtr> all;
  while (!turns_.empty()) all.push_back(Pop(turns_.begin()));
  return all;
}

}  // namespace cairn::node
