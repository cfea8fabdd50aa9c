#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/bytes.h"
#include "state_machine/command_test_util.h"

namespace cairn::state_machine {
namespace {

TEST(Command, EveryCommandComesBackAsItWas) {
  EXPECT_TRUE(rc::check([] {
    const Command command = *AnyCommand();
    const Result<Command> decoded = DecodeCommand(EncodeCommand(command));
    RC_ASSERT(decoded.ok());
    RC_ASSERT(decoded.value() == command);
  }));
}

TEST(Command, ABatchKeepsItsHeaderAndTheOrderOfItsCommands) {
  EXPECT_TRUE(rc::check([] {
    std::vector<Command> commands;
    std::vector<std::string> encoded;
    const int count = *rc::gen::inRange(0, 5);
    for (int i = 0; i < count; ++i) {
      commands.push_back(*AnyCommand());
      encoded.push_back(EncodeCommand(commands.back()));
    }
    const BatchHeader header{*rc::gen::arbitrary<int64_t>(),  *rc::gen::arbitrary<uint64_t>(),
                             *rc::gen::arbitrary<uint64_t>(), *rc::gen::arbitrary<uint64_t>(),
                             *rc::gen::arbitrary<uint64_t>(), *rc::gen::arbitrary<uint64_t>(),
                             *rc::gen::arbitrary<uint64_t>()};
    std::string bytes = "kept";
    EncodeBatch(header, encoded, &bytes);
    RC_ASSERT(bytes.substr(0, 4) == "kept");
    const Result<CommandBatch> batch = DecodeBatch(std::string_view(bytes).substr(4));
    RC_ASSERT(batch.ok());
    RC_ASSERT(batch->header.wall_ms == header.wall_ms);
    RC_ASSERT(batch->header.random_seed == header.random_seed);
    RC_ASSERT(batch->header.lease_ms == header.lease_ms);
    RC_ASSERT(batch->header.command_steps_max == header.command_steps_max);
    RC_ASSERT(batch->header.entry_steps_max == header.entry_steps_max);
    RC_ASSERT(batch->header.maintenance_steps_max == header.maintenance_steps_max);
    RC_ASSERT(batch->header.request_ttl_ms == header.request_ttl_ms);
    RC_ASSERT(batch->commands == commands);
  }));
}

TEST(Command, EveryResultComesBackAsItWas) {
  EXPECT_TRUE(rc::check([] {
    const CommandResult result = *AnyResult();
    const Result<CommandResult> decoded = DecodeCommandResult(EncodeCommandResult(result));
    RC_ASSERT(decoded.ok());
    RC_ASSERT(decoded->status == result.status);
    RC_ASSERT(decoded->index == result.index);
    RC_ASSERT(decoded->result_gone == result.result_gone);
    RC_ASSERT(decoded->statements == result.statements);
  }));
}

TEST(Command, AResultWithAReasonThatIsNotKnownIsRefused) {
  CommandResult result;
  result.status = FailedPrecondition("").With(Reason::kSessionExpired);
  const std::string bytes = EncodeCommandResult(result);
  ASSERT_EQ(bytes, std::string("\x01\x04\x09\x00\x00\x01\x00\x00", 8));
  for (const uint8_t reason :
       {uint8_t{0}, static_cast<uint8_t>(static_cast<int>(kReasonLast) + 1)}) {
    std::string wrong = bytes;
    wrong[5] = static_cast<char>(reason);
    EXPECT_FALSE(DecodeCommandResult(wrong).ok()) << int{reason};
  }
}

TEST(Command, ANotANumberAndNegativeZeroKeepTheirBits) {
  Statement s{"VALUES(?, ?)", {Value(-std::nan("17")), Value(-0.0)}, {}};
  const Command command{{"s", 1}, 0, Execute{{s}}};
  const Result<Command> decoded = DecodeCommand(EncodeCommand(command));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const Statement& got = std::get<Execute>(decoded->operation).statements[0];
  EXPECT_EQ(std::bit_cast<uint64_t>(std::get<double>(got.positional[0])),
            std::bit_cast<uint64_t>(-std::nan("17")));
  EXPECT_TRUE(std::signbit(std::get<double>(got.positional[1])));
}

// The bytes are on disks and between versions: a change of the encoding must be deliberate.
TEST(Command, TheBytesAreTheOnesSpecified) {
  EXPECT_EQ(EncodeCommand(SmallInsert()),
            std::string("\x01\x09session-1\x07\x05\x0ehost:192.0.2.7\x00\x01\x22"
                        "INSERT INTO t(a, b) VALUES(?1, ?2)"
                        "\x02\x01\x54\x03\x05hello\x00",
                        76));
  const Command commit{{"", 0}, 0, Commit{"tx-1"}};
  EXPECT_EQ(BatchOf({commit}), std::string("\x02\x7b\x68\xe5\xcf\x8b\x01\x00\x00"
                                           "\xef\xbe\xfe\xca\xce\xfa\xed\xfe"
                                           "\x88\x27\xc0\x84\x3d\x80\x89\x7a\x00"
                                           "\xa0\xf7\x36\x01"
                                           "\x0c\x04\x00\x00\x00\x00\x00\x04tx-1\x00",
                                           43));
  CommandResult result;
  result.index = LogIndex(300);
  result.statements = {StatementResult{1, -1, {{"a", "TEXT"}}, {{Value("x")}}}};
  EXPECT_EQ(EncodeCommandResult(result),
            std::string("\x01\x00\x00\x00\x00\xac\x02\x01\x02\x01\x01\x01"
                        "a\x04TEXT\x01\x03\x01x",
                        22));
}

TEST(Command, EveryTruncationAndEveryTrailingByteIsRefused) {
  const std::string command = EncodeCommand(OfEveryValue());
  const std::string batch = BatchOf({SmallInsert(), OfEveryValue()});
  const std::string result = EncodeCommandResult(ExampleResult());
  ASSERT_TRUE(DecodeCommand(command).ok());
  ASSERT_TRUE(DecodeBatch(batch).ok());
  ASSERT_TRUE(DecodeCommandResult(result).ok());
  for (size_t n = 0; n < command.size(); ++n) {
    EXPECT_EQ(DecodeCommand(command.substr(0, n)).status().code(), StatusCode::kInvalidArgument)
        << n;
  }
  for (size_t n = 0; n < batch.size(); ++n) {
    EXPECT_EQ(DecodeBatch(batch.substr(0, n)).status().code(), StatusCode::kInvalidArgument) << n;
  }
  for (size_t n = 0; n < result.size(); ++n) {
    EXPECT_EQ(DecodeCommandResult(result.substr(0, n)).status().code(),
              StatusCode::kInvalidArgument)
        << n;
  }
  EXPECT_FALSE(DecodeCommand(command + '\0').ok());
  EXPECT_FALSE(DecodeBatch(batch + '\0').ok());
  EXPECT_FALSE(DecodeCommandResult(result + '\0').ok());
}

// Replaces each byte by each of a set of telling values. The decoder never crashes, and accepts no
// second encoding.
TEST(Command, WhateverDecodesEncodesToTheSameBytes) {
  const std::string command = EncodeCommand(OfEveryValue());
  const std::string result = EncodeCommandResult(ExampleResult());
  const std::string batch = BatchOf({SmallInsert(), OfEveryValue()});
  size_t accepted = 0;
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t i = 0; i < command.size(); ++i) {
      std::string bytes = command;
      bytes[i] = static_cast<char>(byte);
      const Result<Command> decoded = DecodeCommand(bytes);
      if (!decoded.ok()) continue;
      ++accepted;
      ASSERT_EQ(EncodeCommand(decoded.value()), bytes);
    }
    for (size_t i = 0; i < result.size(); ++i) {
      std::string bytes = result;
      bytes[i] = static_cast<char>(byte);
      const Result<CommandResult> decoded = DecodeCommandResult(bytes);
      if (!decoded.ok()) continue;
      ASSERT_EQ(EncodeCommandResult(decoded.value()), bytes);
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      std::string bytes = batch;
      bytes[i] = static_cast<char>(byte);
      (void)DecodeBatch(bytes).ok();
    }
  }
  EXPECT_GT(accepted, command.size());
}

TEST(Command, RandomBytesNeverCrashADecoder) {
  EXPECT_TRUE(rc::check([] {
    std::string bytes = *Bytes();
    (void)DecodeCommandResult(bytes).ok();
    bytes.insert(0, 1, static_cast<char>(*rc::gen::inRange(0, 8)));
    const Result<Command> command = DecodeCommand(bytes);
    if (command.ok()) RC_ASSERT(EncodeCommand(command.value()) == bytes);
    (void)DecodeBatch(bytes).ok();
    (void)DecodeCommandResult(bytes).ok();
  }));
}

TEST(Command, ANumberInALongerFormThanNeededIsRefused) {
  // AdvanceLease, no session, sequence 1 in one byte, then in two.
  EXPECT_TRUE(DecodeCommand(std::string("\x06\x00\x01\x00\x00\x00", 6)).ok());
  EXPECT_FALSE(DecodeCommand(std::string("\x06\x00\x81\x00\x00\x00\x00", 7)).ok());
}

// A count is checked against the bytes that are left before anything is reserved for it.
TEST(Command, AHugeCountIsRefusedWithoutAllocating) {
  std::string bytes;
  ByteWriter out(&bytes);
  out.U8(1);  // Execute
  out.String("");
  out.Varint(1);
  out.Varint(0);
  out.String("");
  out.Varint(0);
  const std::string head = bytes;
  for (const uint64_t count :
       {uint64_t{2}, uint64_t{kStatementsPerCommandMax}, uint64_t{1} << 40, ~uint64_t{0}}) {
    bytes = head;
    out.Varint(count);
    bytes += std::string(5, '\0');  // one statement and a bit
    EXPECT_FALSE(DecodeCommand(bytes).ok()) << count;
    bytes = head;
    out.Varint(1);
    out.String("x");
    out.Varint(count);  // values
    EXPECT_FALSE(DecodeCommand(bytes).ok()) << count;
  }
  CommandResult result;
  bytes = EncodeCommandResult(result);
  bytes.pop_back();
  out.Varint(1);
  out.U8(0);
  out.U8(0);
  out.Varint(0);
  out.Varint(uint64_t{1} << 60);  // rows of no columns
  EXPECT_FALSE(DecodeCommandResult(bytes).ok());
}

TEST(Command, TheLimitsOfACommandHoldInTheDecoder) {
  const auto refused = [](const Command& command) {
    return DecodeCommand(EncodeCommand(command)).status().code() == StatusCode::kInvalidArgument;
  };
  Command command{
      {std::string(kSessionBytesMax, 's'), 1}, 0, Commit{std::string(kTxIdBytesMax, 't')}};
  EXPECT_FALSE(refused(command));
  command.id.session += 's';
  EXPECT_TRUE(refused(command));
  command.id.session.clear();
  std::get<Commit>(command.operation).tx_id += 't';
  EXPECT_TRUE(refused(command));

  Execute execute;
  execute.statements.resize(kStatementsPerCommandMax);
  command.operation = execute;
  EXPECT_FALSE(refused(command));
  execute.statements.emplace_back();
  command.operation = execute;
  EXPECT_TRUE(refused(command));

  execute.statements.assign(2, Statement{});
  execute.statements[0].positional.resize(kValuesPerCommandMax);
  command.operation = execute;
  EXPECT_FALSE(refused(command));
  execute.statements[1].named.resize(1);
  command.operation = execute;
  EXPECT_TRUE(refused(command));

  execute.statements.assign(1, Statement{std::string(kCommandBytesMax, 'x'), {}, {}});
  command.operation = execute;
  EXPECT_TRUE(refused(command));
}

TEST(Command, AnUnknownFormatIsNamed) {
  std::string batch = BatchOf({});
  batch[0] = 9;
  EXPECT_EQ(DecodeBatch(batch).status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(DecodeBatch(batch).status().message(),
            "batch format 9 is of a later version of Cairn than this node runs: start that version "
            "on this node");
  std::string result = EncodeCommandResult({});
  result[0] = 8;
  EXPECT_EQ(DecodeCommandResult(result).status().message(), "command result of unknown format 8");
}

TEST(Command, ABatchOfTheFirstVersionIsRefusedWithAdvice) {
  std::string batch = BatchOf({});
  batch[0] = 1;
  const Status status = DecodeBatch(batch).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_EQ(
      status.message(),
      "this entry was written by Cairn 0.1 and not applied: start 0.1 again on all nodes, stop "
      "it cleanly, then start 0.2");
}

TEST(Command, AnUnknownOperationIsNamedAndNotTakenForDamage) {
  std::string command = EncodeCommand({{}, 0, RaiseLevel{2}});
  command[0] = 77;
  const Status status = DecodeCommand(command).status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_EQ(
      status.message(),
      "operation 77 is of a later version of Cairn than this node runs: start that version on "
      "this node");
}

TEST(CommandDeathTest, ABatchThatNoMemberCouldDecodeIsNotMade) {
  std::string out;
  EXPECT_DEATH(EncodeBatch({}, std::vector<std::string>(kCommandsPerBatchMax + 1), &out), "4097");
}

TEST(Command, APrincipalThatNoEntryCanHoldIsRefusedBeforeItIsInTheLog) {
  Command command{{"s", 2}, 0, Commit{"t"}};
  command.principal.assign(kPrincipalBytesMax, 'p');
  EXPECT_TRUE(CheckRequestId(command).ok());
  EXPECT_TRUE(DecodeCommand(EncodeCommand(command)).ok());
  command.principal += 'p';
  EXPECT_FALSE(DecodeCommand(EncodeCommand(command)).ok());
  const Status refused = CheckRequestId(command);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.outcome(), Outcome::kNotApplied);
}

// A restart would forget the result, and the other members would keep it.
TEST(Command, ABareIdThatANodeGaveIsRefused) {
  Command command{{"a bare id", 0}, 0, Execute{}};
  ASSERT_TRUE(command.id.bare());
  EXPECT_TRUE(CheckRequestId(command).ok());
  command.named_by = 3;
  const Status refused = CheckRequestId(command);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.outcome(), Outcome::kNotApplied);
}

}  // namespace
}  // namespace cairn::state_machine
