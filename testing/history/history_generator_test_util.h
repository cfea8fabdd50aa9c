// Makes histories with an executor that is correct by construction. Clients run concurrently at
// random. Each operation takes effect at one moment between its invocation and its completion, or
// is lost, or ends unknown and may take effect later.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "testing/history/event.h"

namespace cairn::history {

struct GeneratorOptions {
  size_t operations = 200;
  uint64_t processes = 5;
  uint64_t info_per_mille = 30;  // outcome unknown
  uint64_t fail_per_mille = 30;  // surely no effect
};

class HistoryGenerator {
 public:
  // Ask draws a request. Execute runs it at one moment and returns the answer; nothing means that
  // it fails and has changed nothing.
  using Ask = std::function<std::pair<std::string, Datum>(Rng*)>;
  using Execute = std::function<std::optional<Datum>(const std::string& f, const Datum& asked)>;

  HistoryGenerator(uint64_t seed, GeneratorOptions options) : rng_(seed), options_(options) {}

  History Run(const Ask& ask, const Execute& execute) {
    std::vector<Client> clients(options_.processes);
    for (size_t i = 0; i < clients.size(); ++i) clients[i].process = static_cast<int64_t>(i);
    size_t begun = 0;
    size_t open = 0;
    while (begun < options_.operations || open > 0) {
      if (!stragglers_.empty() && rng_.Below(20) == 0) ExecuteStraggler(execute);
      Client& client = clients[rng_.Below(clients.size())];
      if (!client.open) {
        if (begun == options_.operations) continue;
        ++begun;
        ++open;
        Begin(&client, ask);
      } else if (!client.executed && client.will != Fate::kFail &&
                 !(client.will == Fate::kInfo && rng_.Below(2) == 0)) {
        client.answer = execute(client.f, client.asked);
        client.executed = true;
      } else {
        --open;
        End(&client);
      }
    }
    return std::move(history_);
  }

 private:
  struct Client {
    int64_t process = 0;
    bool open = false;
    bool executed = false;
    Fate will = Fate::kOk;
    std::string f;
    Datum asked;
    std::optional<Datum> answer;
  };

  void Begin(Client* client, const Ask& ask) {
    std::tie(client->f, client->asked) = ask(&rng_);
    client->open = true;
    client->executed = false;
    client->will = Fate::kOk;
    const uint64_t draw = rng_.Below(1000);
    if (draw < options_.info_per_mille) {
      client->will = Fate::kInfo;
    } else if (draw < options_.info_per_mille + options_.fail_per_mille) {
      client->will = Fate::kFail;
    }
    Record(*client, EventType::kInvoke, client->asked);
  }

  void End(Client* client) {
    client->open = false;
    if (client->will == Fate::kInfo) {
      if (!client->executed) stragglers_.emplace_back(client->f, client->asked);
      Record(*client, EventType::kInfo, client->asked);
    } else if (client->will == Fate::kFail || !client->answer) {
      Record(*client, EventType::kFail, client->asked);
    } else {
      Record(*client, EventType::kOk, *client->answer);
    }
  }

  // An operation that nobody waits for any more takes effect after all, or is lost.
  void ExecuteStraggler(const Execute& execute) {
    const size_t at = rng_.Below(stragglers_.size());
    if (rng_.Below(2) == 0) execute(stragglers_[at].first, stragglers_[at].second);
    stragglers_.erase(stragglers_.begin() + static_cast<ptrdiff_t>(at));
  }

  void Record(const Client& client, EventType type, const Datum& value) {
    now_ns_ += static_cast<int64_t>(rng_.Below(1000));
    history_.push_back({type, client.process, now_ns_, client.f, value});
  }

  Rng rng_;
  const GeneratorOptions options_;
  int64_t now_ns_ = 0;
  std::vector<std::pair<std::string, Datum>> stragglers_;
  History history_;
};

}  // namespace cairn::history
