#include "tools/server_settings.h"

#include <gtest/gtest.h>

#include <fstream>

namespace cairn::tools {
namespace {

using std::chrono::milliseconds;

class ServerSettingsFile : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::string path = testing::TempDir() + "/settings_" +
                       testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml";
    std::ofstream(path) << text;
    return path;
  }
};

TEST(ServerSettings, TheDefaultsAreThoseOfTheServer) {
  const Result<ServeOptions> options = ResolveServerSettings({}, "");
  ASSERT_TRUE(options.ok()) << options.status();
  const server::ServerOptions defaults;
  const server::ServerOptions& server = options->server;
  EXPECT_EQ(server.node_id, defaults.node_id);
  EXPECT_EQ(server.host, defaults.host);
  EXPECT_EQ(server.port, defaults.port);
  EXPECT_EQ(server.db_path, defaults.db_path);
  EXPECT_EQ(server.engine, defaults.engine);
  EXPECT_EQ(server.peers, defaults.peers);
  EXPECT_EQ(server.tick, defaults.tick);
  EXPECT_EQ(server.election_ticks, defaults.election_ticks);
  EXPECT_EQ(server.heartbeat_ticks, defaults.heartbeat_ticks);
  EXPECT_EQ(server.request_timeout, defaults.request_timeout);
  EXPECT_EQ(server.leader_wait, defaults.leader_wait);
  EXPECT_EQ(server.log_bytes_max, defaults.log_bytes_max);
  EXPECT_EQ(server.free_bytes_min, defaults.free_bytes_min);
  EXPECT_EQ(server.vector_bytes_max, defaults.vector_bytes_max);
  EXPECT_EQ(server.request_steps_max, defaults.request_steps_max);
  EXPECT_EQ(server.maintenance_steps_max, defaults.maintenance_steps_max);
  EXPECT_EQ(server.batch_commands_max, defaults.batch_commands_max);
  EXPECT_EQ(server.batch_bytes_max, defaults.batch_bytes_max);
  EXPECT_EQ(server.batch_delay_max, defaults.batch_delay_max);
  EXPECT_EQ(server.batch_entries_in_flight_max, defaults.batch_entries_in_flight_max);
  EXPECT_EQ(server.write_queue_commands_max, defaults.write_queue_commands_max);
  EXPECT_EQ(server.write_queue_bytes_max, defaults.write_queue_bytes_max);
  EXPECT_EQ(server.write_queue_wait_max, defaults.write_queue_wait_max);
}

TEST_F(ServerSettingsFile, FlagsWinOverTheFile) {
  const std::string path = Write(
      "port = 6000\nid = 2\nlog-bytes-max = \"16MiB\"\n[peers]\n1 = \"a:1\"\n2 = "
      "\"http://b:6000/\"\n");
  const Result<ServeOptions> options = ResolveServerSettings({{"port", "7000"}}, path);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.port, 7000);
  EXPECT_EQ(options->server.node_id, 2u);
  EXPECT_EQ(options->server.log_bytes_max, 16u << 20);
  EXPECT_EQ(options->server.peers, (std::map<uint64_t, std::string>{{1, "a:1"}, {2, "b:6000"}}));
}

TEST_F(ServerSettingsFile, ErrorsNameTheLine) {
  const struct {
    const char* text;
    const char* want;
  } cases[] = {
      {"id = 1\nprot = 5\n", ":2: unknown setting 'prot'; is 'port' meant?"},
      {"id = 1\n\nport = 70000\n", ":3: port: '70000' is not a whole number from 1 to 65535"},
      {"port = \n", ":1: "},
      {"port = 1.5\n", ":1: port: must be a whole number, without quotes"},
      {"port = \"5\"\n", ":1: port: must be a whole number, without quotes"},
      {"id = true\n", ":1: id: must be a whole number, without quotes"},
      {"host = 5\n", ":1: host: must be text in quotes"},
      {"insecure = \"true\"\n", ":1: insecure: must be true or false, without quotes"},
      {"log-bytes-max = false\n", ":1: log-bytes-max: must be a whole number, or a size"},
      {"peers = 5\n", ":1: peers: must be a table such as"},
      {"id = 1\nid = 2\n", ":2: "},
      {"[server]\nport = 1\n", ":1: unknown setting 'server'"},
      {"[peers]\n1 = 5\n", "the address of peer 1 must be text in quotes"},
  };
  for (const auto& c : cases) {
    const Result<ServeOptions> options = ResolveServerSettings({}, Write(c.text));
    ASSERT_FALSE(options.ok()) << c.text;
    EXPECT_NE(options.status().message().find(c.want), std::string::npos)
        << options.status().message();
  }
}

TEST_F(ServerSettingsFile, TheThresholdsOfWritesAreSetByFlagsAndByTheFile) {
  const std::string path = Write(
      "batch-commands-max = 4096\nbatch-bytes-max = \"4KiB\"\n"
      "write-queue-wait-ms-max = 10\n");
  const Result<ServeOptions> options = ResolveServerSettings({{"batch-delay-us-max", "0"},
                                                              {"batch-entries-in-flight-max", "64"},
                                                              {"write-queue-commands-max", "1"},
                                                              {"write-queue-bytes-max", "16MiB"}},
                                                             path);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.batch_commands_max, 4096u);
  EXPECT_EQ(options->server.batch_bytes_max, 4096u);
  EXPECT_EQ(options->server.batch_delay_max.count(), 0);
  EXPECT_EQ(options->server.batch_entries_in_flight_max, 64u);
  EXPECT_EQ(options->server.write_queue_commands_max, 1u);
  EXPECT_EQ(options->server.write_queue_bytes_max, 16u << 20);
  EXPECT_EQ(options->server.write_queue_wait_max, milliseconds(10));
}

TEST(ServerSettings, AFileThatIsNotThereIsNamed) {
  const Result<ServeOptions> options = ResolveServerSettings({}, "/no/such/file.toml");
  ASSERT_FALSE(options.ok());
  EXPECT_NE(options.status().message().find("/no/such/file.toml"), std::string::npos);
}

TEST(ServerSettings, BadFlagsAreRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"port", "0"},
      {"port", "5x"},
      {"id", "0"},
      {"id", "-1"},
      {"peers", "1"},
      {"peers", "1=host"},
      {"peers", "1=h:1,1=h:2"},
      {"peers", "1=h:1,2=h:1"},
      {"election-timeout-ms", "155"},
      {"log-bytes-max", "5MB"},
      {"log-level", "loud"},
      {"log-format", "xml"},
      {"http-port", "70000"},
      {"db", ""},
      {"heartbeat-ms", "100"},
      {"memory-bytes-max", "1MiB"},
      {"request-ttl-ms", "10"},
      {"request-steps-max", "99999"},
      {"request-steps-max", "5000000001"},
      {"maintenance-steps-max", "49999999"},
      {"advertise", "host"},
      {"batch-commands-max", "0"},
      {"batch-commands-max", "4097"},
      {"batch-bytes-max", "4095"},
      {"batch-bytes-max", "17MiB"},
      {"batch-delay-us-max", "-1"},
      {"batch-delay-us-max", "1000001"},
      {"batch-entries-in-flight-max", "0"},
      {"batch-entries-in-flight-max", "65"},
      {"write-queue-commands-max", "0"},
      {"write-queue-commands-max", "1000001"},
      {"write-queue-bytes-max", "15MiB"},
      {"write-queue-bytes-max", "17GiB"},
      {"write-queue-wait-ms-max", "9"},
  };
  for (const auto& [name, value] : cases) {
    const Result<ServeOptions> options = ResolveServerSettings({{name, value}}, "");
    ASSERT_FALSE(options.ok()) << name << "=" << value;
    EXPECT_NE(options.status().message().find(name), std::string::npos)
        << options.status().message();
  }
}

TEST(ServerSettings, EntriesInFlightFitWhatRaftHolds) {
  EXPECT_TRUE(ResolveServerSettings(
                  {{"batch-bytes-max", "512KiB"}, {"batch-entries-in-flight-max", "64"}}, "")
                  .ok());
  const Result<ServeOptions> options = ResolveServerSettings(
      {{"batch-bytes-max", "8MiB"}, {"batch-entries-in-flight-max", "5"}}, "");
  ASSERT_FALSE(options.ok());
  EXPECT_NE(options.status().message().find("may be 32MiB"), std::string::npos);
}

TEST(ServerSettings, AddressesThatLeadNobodyToANodeAreRefusedWithAdvice) {
  for (const auto& [name, value] :
       {std::pair("peers", "1=127.0.0.1:1,2=0.0.0.0:2"), std::pair("peers", "1=[::]:1"),
        std::pair("advertise", "0.0.0.0:50051")}) {
    const Result<ServeOptions> options = ResolveServerSettings({{name, value}}, "");
    ASSERT_FALSE(options.ok()) << value;
    EXPECT_NE(options.status().message().find("give the address that they use"), std::string::npos)
        << options.status();
  }
}

TEST_F(ServerSettingsFile, Ipv6AddressesStandInBracketsInFlagsAndFile) {
  const std::string path =
      Write("host = \"::1\"\nadvertise = \"[fd00::2]:7\"\n[peers]\n1 = \"[fd00::2]:7\"\n");
  const Result<ServeOptions> options =
      ResolveServerSettings({{"peers", "1=[::1]:6000,2=[::1]:6001"}}, path);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.host, "::1");
  EXPECT_EQ(options->server.advertise, "[fd00::2]:7");
  EXPECT_EQ(options->server.peers,
            (std::map<uint64_t, std::string>{{1, "[::1]:6000"}, {2, "[::1]:6001"}}));
  EXPECT_FALSE(ResolveServerSettings({{"peers", "1=::1:6000"}}, "").ok());
}

TEST(ParseBytes, TakesBinaryUnits) {
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("2KiB"), 2048u);
  EXPECT_EQ(*ParseBytes("1GiB"), uint64_t{1} << 30);
  EXPECT_FALSE(ParseBytes("MiB").ok());
  EXPECT_FALSE(ParseBytes("99999999999GiB").ok());
}

}  // namespace
}  // namespace cairn::tools
