// Writes a few whole inputs for each target whose input is binary. `fuzz_seeds DIRECTORY` makes
// DIRECTORY/TARGET/seed-N.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/check.h"
#include "base/rng.h"
#include "node/identity_file.h"
#include "raft/configuration_codec.h"
#include "state_machine/command.h"
#include "timeseries/block.h"
#include "transport/message_codec.h"
#include "transport/peer_protocol.h"

namespace cairn {
namespace {

using Seeds = std::map<std::string, std::vector<std::string>>;

raft::Configuration SomeConfiguration() {
  raft::Configuration config;
  for (uint64_t id = 1; id <= 5; ++id) {
    (id <= 3 ? config.voters : config.learners).insert(MemberId(id));
    config.info[MemberId(id)] = {id, "host" + std::to_string(id) + ":7000", id * 1000};
  }
  config.outgoing = {MemberId(1), MemberId(2)};
  config.next_member_id = 6;
  return config;
}

void AddMessages(Seeds* seeds) {
  using namespace raft;  // NOLINT: a function's
  const auto payload = std::make_shared<const std::string>("payload");
  const std::vector<MessageBody> bodies = {
      PreVoteRequest{LogIndex(9), Term(3)},
      PreVoteReply{true},
      VoteRequest{LogIndex(9), Term(3), true},
      VoteReply{true},
      AppendRequest{LogIndex(4),
                    Term(2),
                    LogIndex(3),
                    {{Term(2), LogIndex(5), EntryType::kNormal, payload},
                     {Term(3), LogIndex(6), EntryType::kNoop, payload}}},
      AppendReply{false, LogIndex(5), LogIndex(3), Term(1)},
      Heartbeat{LogIndex(5), ReadId(8)},
      HeartbeatReply{ReadId(8)},
      SnapshotOffer{{LogIndex(9), Term(2), SomeConfiguration(), LogIndex(4)}},
      TimeoutNow{LogIndex(7)},
      ReadIndexRequest{12},
      ReadIndexReply{12, true, LogIndex(9)}};
  for (const MessageBody& body : bodies) {
    std::string bytes;
    transport::EncodeMessage({MemberId(1), MemberId(2), Term(3), body}, &bytes);
    (*seeds)["message"].push_back(bytes);
  }
}

void AddCommands(Seeds* seeds) {
  using namespace state_machine;  // NOLINT: a function's
  const Statement statement{"INSERT INTO t VALUES(?, :b)",
                            {int64_t{5}, 2.5, std::string("text"), Blob{"blob"}, {}},
                            {{":b", int64_t{-1}}}};
  std::vector<Command> commands(6);
  commands[0].operation = Execute{{statement, statement}};
  commands[1].operation = OpenSession{};
  commands[2].operation = Prepare{"tx", statement, 5000};
  commands[3].operation = Commit{"tx"};
  commands[4].operation = Rollback{"tx"};
  commands[5].operation = AdvanceLease{};
  std::vector<std::string> encoded;
  for (Command& command : commands) {
    command.id = {"session", 3};
    command.acknowledged_below = 2;
    encoded.push_back(EncodeCommand(command));
    (*seeds)["command"].push_back('\0' + encoded.back());
  }
  std::string batch;
  EncodeBatch({1'700'000'000'000, 7, 1000, 50'000}, encoded, &batch);
  (*seeds)["command"].push_back('\1' + batch);
  CommandResult result;
  result.index = LogIndex(9);
  result.statements.push_back({1, 2, {{"a", "INTEGER"}}, {{int64_t{1}}, {Value()}}});
  (*seeds)["command"].push_back('\2' + EncodeCommandResult(result));
}

void AddPeers(Seeds* seeds) {
  transport::pb::SnapshotRequest request;
  transport::SnapshotHeader header;
  header.group = GroupId(1);
  header.meta = {LogIndex(9), Term(2), SomeConfiguration(), LogIndex(4)};
  header.size_bytes = 4096;
  transport::FillSnapshotHeader(header, request.mutable_header());
  (*seeds)["snapshot_header"].push_back('\0' + request.SerializeAsString());
  transport::pb::Hello hello;
  transport::FillHello(transport::Identity(), MemberId(2), &hello);
  (*seeds)["snapshot_header"].push_back('\1' + hello.SerializeAsString());
  transport::pb::JoinResponse joined;
  transport::FillJoinReply({7, MemberId(4), SomeConfiguration()}, &joined);
  (*seeds)["snapshot_header"].push_back('\2' + joined.SerializeAsString());
}

void AddFiles(Seeds* seeds) {
  (*seeds)["configuration"].push_back(raft::EncodeConfiguration(SomeConfiguration()));
  node::IdentityRecord record;
  record.node_id = 1;
  record.nonce = 5;
  record.config = SomeConfiguration();
  (*seeds)["identity"].push_back(node::EncodeIdentity(record));
}

void AddBlocks(Seeds* seeds) {
  using namespace timeseries;  // NOLINT: a function's
  Rng rng(2);
  for (const size_t points : {1, 3, 200}) {
    Block block;
    block.columns.resize(4);
    for (size_t i = 0; i < points; ++i) {
      block.times.push_back(static_cast<int64_t>(i * 1000 + rng.Below(3)));
      block.columns[0].reals.push_back(static_cast<double>(rng.Below(1000)) / 100);
      block.columns[0].present.push_back(i % 3 == 0 ? 0 : 1);
      for (size_t c = 1; c < 4; ++c) {
        block.columns[c].type = static_cast<ColumnType>(c + 1);
        block.columns[c].integers.push_back(static_cast<int64_t>(rng.Below(2)));
      }
    }
    block.columns[2].type = ColumnType::kBoolean;
    block.columns[3].type = ColumnType::kText;
    block.columns[3].texts = {"closed", "open"};
    if (points > 100) block.columns[1].integers[50] = INT64_MIN;
    std::string bytes;
    CHECK(EncodeBlock(block, &bytes).ok());
    for (const char* target : {"time_series_block", "series_door"}) {
      (*seeds)[target].push_back(bytes);
    }
  }
}

// If the input is a list of decisions, any input that is long enough is a start.
void AddDecisions(Seeds* seeds) {
  Rng rng(1);
  for (const char* target : {"log", "snapshot_stream", "sessions", "raft"}) {
    for (size_t size : {50, 200, 1000}) {
      std::string bytes;
      for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(rng.Below(256)));
      for (char first : {'\0', '\1'}) (*seeds)[target].push_back(first + bytes);
    }
  }
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  cairn::Seeds seeds;
  cairn::AddMessages(&seeds);
  cairn::AddCommands(&seeds);
  cairn::AddPeers(&seeds);
  cairn::AddFiles(&seeds);
  cairn::AddBlocks(&seeds);
  cairn::AddDecisions(&seeds);
  for (const auto& [target, inputs] : seeds) {
    const std::filesystem::path directory = std::filesystem::path(argv[1]) / target;
    std::filesystem::create_directories(directory);
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::ofstream(directory / ("seed-" + std::to_string(i)), std::ios::binary) << inputs[i];
    }
  }
  return 0;
}
