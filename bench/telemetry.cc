#include "telemetry.h"

#include <sqlite3.h>

#include <chrono>
#include <cstdio>

#include "base/check.h"
#include "timeseries/block.h"

namespace cairn::bench {
namespace {

constexpr int64_t kBeginMs = 1'700'000'000'000;

void Run(sqlite3* db, const char* sql) {
  CHECK(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK) << sqlite3_errmsg(db);
}

}  // namespace

TelemetryPoint TelemetryPointOf(uint64_t number) {
  // A triangle with noise of some hundredths.
  const uint64_t noise = (number * 2654435761U >> 7) % 21;
  const uint64_t slope = number % 4000 < 2000 ? number % 4000 : 4000 - number % 4000;
  const auto hundredths = static_cast<int64_t>(2000 + slope / 4 + noise);
  return {kBeginMs + static_cast<int64_t>(number) * 1000, static_cast<double>(hundredths) / 100};
}

std::string TelemetryBlock(uint64_t number) {
  timeseries::Block block;
  block.columns.resize(1);
  for (size_t i = 0; i < kTelemetryBlockPoints; ++i) {
    const TelemetryPoint point = TelemetryPointOf(number * kTelemetryBlockPoints + i);
    block.times.push_back(point.time_ms);
    block.columns[0].reals.push_back(point.value);
  }
  std::string bytes;
  CHECK(timeseries::EncodeBlock(block, &bytes).ok());
  return bytes;
}

LoadResult StoreInPlainSqlite(const LoadOptions& options, const std::string& file) {
  std::remove(file.c_str());
  sqlite3* db = nullptr;
  CHECK(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  Run(db, "PRAGMA journal_mode=WAL");
  Run(db, "PRAGMA synchronous=FULL");
  Run(db,
      "CREATE TABLE blocks(device INTEGER, ts INTEGER, block BLOB, PRIMARY KEY(device, ts)) "
      "WITHOUT "
      "ROWID");
  sqlite3_stmt* insert = nullptr;
  CHECK(sqlite3_prepare_v2(db, "INSERT INTO blocks VALUES(?1, ?2, ?3)", -1, &insert, nullptr) ==
        SQLITE_OK);
  LoadResult result;
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + options.duration;
  uint64_t stored = 0;
  for (uint64_t number = 0; std::chrono::steady_clock::now() < end; number += options.rows) {
    Run(db, "BEGIN");
    for (int client = 0; client < options.clients; ++client) {
      for (int i = 0; i < options.rows; ++i) {
        const std::string block = TelemetryBlock(number + static_cast<uint64_t>(i));
        sqlite3_bind_int64(insert, 1, client);
        sqlite3_bind_int64(insert, 2, static_cast<int64_t>(number) + i);
        sqlite3_bind_blob(insert, 3, block.data(), static_cast<int>(block.size()), SQLITE_STATIC);
        CHECK(sqlite3_step(insert) == SQLITE_DONE) << sqlite3_errmsg(db);
        sqlite3_reset(insert);
        ++stored;
      }
    }
    Run(db, "COMMIT");
    ++result.completed;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  result.per_second = static_cast<double>(stored * kTelemetryBlockPoints) / result.seconds;
  sqlite3_finalize(insert);
  sqlite3_close(db);
  return result;
}

}  // namespace cairn::bench
