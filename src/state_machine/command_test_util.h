// For tests: commands and results, random ones and examples.
#pragma once

#include <rapidcheck.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/command.h"

namespace cairn::state_machine {

// ---- Generators ---------------------------------------------------------------------------------

inline rc::Gen<std::string> Bytes() {
  return rc::gen::container<std::string>(rc::gen::arbitrary<char>());
}

inline rc::Gen<Value> AnyValue() {
  return rc::gen::oneOf(
      rc::gen::just(Value{}),
      rc::gen::map(rc::gen::arbitrary<int64_t>(), [](int64_t v) { return Value(v); }),
      rc::gen::map(rc::gen::arbitrary<double>(), [](double v) { return Value(v); }),
      rc::gen::map(Bytes(), [](std::string v) { return Value(std::move(v)); }),
      rc::gen::map(Bytes(), [](std::string v) { return Value(Blob{std::move(v)}); }));
}

inline rc::Gen<Statement> AnyStatement() {
  return rc::gen::exec([] {
    Statement s;
    s.sql = *Bytes();
    s.positional = *rc::gen::container<std::vector<Value>>(AnyValue());
    const int named = *rc::gen::inRange(0, 3);
    for (int i = 0; i < named; ++i) s.named.push_back({*Bytes(), *AnyValue()});
    return s;
  });
}

inline std::string Short(std::string s, size_t size_max) {
  if (s.size() > size_max) s.resize(size_max);
  return s;
}

inline rc::Gen<RowExpectation> AnyExpectation() {
  return rc::gen::exec([] {
    const int kind = *rc::gen::inRange(0, 3);
    return RowExpectation{static_cast<RowExpectation::Kind>(kind),
                          kind == 0 ? 0 : *rc::gen::arbitrary<uint64_t>()};
  });
}

inline rc::Gen<Operation> AnyOperation() {
  return rc::gen::exec([]() -> Operation {
    const std::string tx_id = Short(*Bytes(), kTxIdBytesMax);
    switch (*rc::gen::inRange(0, 11)) {
      case 0: {
        Execute e;
        const int count = *rc::gen::inRange(0, 4);
        for (int i = 0; i < count; ++i) e.statements.push_back(*AnyStatement());
        e.maintenance = *rc::gen::arbitrary<bool>();
        e.foreign_keys = static_cast<ForeignKeys>(*rc::gen::inRange(0, 3));
        const bool expects =
            e.foreign_keys == ForeignKeys::kEnforced && *rc::gen::arbitrary<bool>();
        for (int i = 0; i < count && expects; ++i) e.expect.push_back(*AnyExpectation());
        return e;
      }
      case 1: return OpenSession{};
      case 2:
        return Prepare{tx_id, *AnyStatement(), *rc::gen::arbitrary<uint64_t>(),
                       *rc::gen::arbitrary<uint64_t>()};
      case 3: return Commit{tx_id, *rc::gen::arbitrary<uint64_t>()};
      case 4: return Rollback{tx_id};
      case 5: return MaintainTimeSeries{};
      case 6:
        return RetainChanges{tx_id, *rc::gen::arbitrary<uint64_t>(),
                             *rc::gen::arbitrary<uint64_t>()};
      case 7:
        return Restore{static_cast<Restore::Step>(*rc::gen::inRange(0, 4)),
                       Short(tx_id, kRestoreIdBytesMax), *rc::gen::arbitrary<uint64_t>(), *Bytes()};
      case 8: {
        ChangeAccess change{static_cast<ChangeAccess::Kind>(*rc::gen::inRange(0, 6)), tx_id,
                            Short(*Bytes(), kAccessTextBytesMax),
                            Short(*Bytes(), kAccessTextBytesMax)};
        if (change.kind >= ChangeAccess::Kind::kTrustKey) {
          change.time_s = *rc::gen::arbitrary<uint64_t>();
        }
        return change;
      }
      case 9: {
        RecordAudit record;
        const int count = *rc::gen::inRange(0, 4);
        for (int i = 0; i < count; ++i) {
          record.notes.push_back({Short(*Bytes(), kAuditTextBytesMax), "principal:a", "192.0.2.7",
                                  Short(*Bytes(), kAuditTextBytesMax),
                                  *rc::gen::arbitrary<uint64_t>()});
        }
        return record;
      }
      default: return AdvanceLease{};
    }
  });
}

inline rc::Gen<Command> AnyCommand() {
  return rc::gen::exec([] {
    Command c;
    c.id = {Short(*Bytes(), kSessionBytesMax), *rc::gen::arbitrary<uint64_t>()};
    c.acknowledged_below = *rc::gen::arbitrary<uint64_t>();
    c.operation = *AnyOperation();
    c.principal = Short(*Bytes(), kPrincipalBytesMax);
    c.named_by = *rc::gen::arbitrary<uint64_t>();
    c.restricted = *rc::gen::arbitrary<bool>();
    c.address = Short(*Bytes(), kAddressBytesMax);
    return c;
  });
}

inline rc::Gen<CommandResult> AnyResult() {
  return rc::gen::exec([] {
    CommandResult r;
    r.status =
        Status(static_cast<StatusCode>(*rc::gen::inRange(0, 17)), *Bytes())
            .With(static_cast<Outcome>(*rc::gen::inRange(0, 4)))
            .With(static_cast<Reason>(*rc::gen::inRange(0, static_cast<int>(kReasonLast) + 1)));
    if (*rc::gen::arbitrary<bool>()) {
      r.status = std::move(r.status).With(LeaderHint{*rc::gen::arbitrary<uint64_t>(), *Bytes()});
    }
    r.index = LogIndex(*rc::gen::arbitrary<uint64_t>());
    r.result_gone = *rc::gen::arbitrary<bool>();
    const int statements = *rc::gen::inRange(0, 3);
    for (int i = 0; i < statements; ++i) {
      StatementResult& s = r.statements.emplace_back();
      s.rows_affected = *rc::gen::arbitrary<int64_t>();
      s.last_insert_id = *rc::gen::arbitrary<int64_t>();
      const int columns = *rc::gen::inRange(0, 3);
      for (int c = 0; c < columns; ++c) s.columns.push_back({*Bytes(), *Bytes()});
      const int rows = columns == 0 ? 0 : *rc::gen::inRange(0, 3);
      for (int n = 0; n < rows; ++n) {
        Row& row = s.rows.emplace_back();
        for (int c = 0; c < columns; ++c) row.push_back(*AnyValue());
      }
    }
    return r;
  });
}

// ---- Examples -----------------------------------------------------------------------------------

inline Command SmallInsert() {
  Statement insert{"INSERT INTO t(a, b) VALUES(?1, ?2)", {Value(int64_t{42}), Value("hello")}, {}};
  return Command{{"session-1", 7}, 5, Execute{{std::move(insert)}}, "host:192.0.2.7"};
}

inline Command OfEveryValue() {
  Statement s;
  s.sql = "INSERT INTO t VALUES(?, ?, ?, ?, ?, :n)";
  s.positional = {Value{}, Value(std::numeric_limits<int64_t>::min()), Value(-0.0),
                  Value(std::string("a\0b", 3)), Value(Blob{std::string("\xff\x00", 2)})};
  s.named = {{":n", Value(std::numeric_limits<double>::infinity())}};
  return Command{{"s", 1}, 0, Prepare{"tx", s, 30'000}};
}

inline std::string BatchOf(const std::vector<Command>& commands) {
  std::vector<std::string> encoded;
  encoded.reserve(commands.size());
  for (const Command& command : commands) encoded.push_back(EncodeCommand(command));
  std::string bytes;
  EncodeBatch({1'700'000'000'123, 0xfeedfacecafebeef, 5'000, 1'000'000, 2'000'000, 0}, encoded,
              &bytes);
  return bytes;
}

inline CommandResult ExampleResult() {
  CommandResult r;
  r.status =
      FailedPrecondition("no such table: t").With(Outcome::kApplied).With(LeaderHint{2, "h:1"});
  r.index = LogIndex(99);
  StatementResult s;
  s.rows_affected = 2;
  s.last_insert_id = -3;
  s.columns = {{"id", "INTEGER"}, {"count(*)", ""}};
  s.rows = {{Value(int64_t{1}), Value{}}, {Value("x"), Value(1.5)}};
  r.statements = {s, StatementResult{}};
  return r;
}

}  // namespace cairn::state_machine
