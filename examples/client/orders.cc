// What a program does with Cairn: writes, reads, a compare-and-set, hearing of changes, a backup.
//
//   orders HOST:PORT[,HOST:PORT...] BACKUP_FILE

#include <cairn/client.h>
#include <cairn/typed.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

using cairn::Result;
using cairn::Status;
using cairn::Values;

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

// All statements take effect, or none.
Status Write(cairn::Client& client) {
  return client
      .Execute({{.sql = "CREATE TABLE IF NOT EXISTS orders("
                        "id INTEGER PRIMARY KEY, item TEXT NOT NULL, amount REAL, note TEXT)"},
                {.sql = "DELETE FROM orders"},
                {.sql = "INSERT INTO orders VALUES (?1, ?2, ?3, ?4)",
                 .positional = Values(1, "bolts", 2.5, std::nullopt)},
                {.sql = "INSERT INTO orders VALUES (:id, :item, :amount, NULL)",
                 .named = {{":id", int64_t{2}}, {":item", std::string("nuts")}, {":amount", 4.0}}}})
      .status();
}

Status Read(cairn::Client& client) {
  const Result<cairn::QueryResult> result =
      client.Query({.sql = "SELECT id, item, amount, note FROM orders ORDER BY id"});
  if (!result.ok()) return result.status();
  for (const cairn::Row& row : result->rows) {
    const auto columns =
        cairn::RowAs<int64_t, std::string, double, std::optional<std::string>>(row);
    if (!columns.ok()) return columns.status();
    const auto& [id, item, amount, note] = *columns;
    std::cout << id << " " << item << " " << amount << " " << note.value_or("-") << "\n";
  }
  return cairn::OkStatus();
}

// One request, without an open transaction: the order is changed only if nobody changed it before.
Status ChangeAmount(cairn::Client& client, int64_t id, double from, double to) {
  const auto done = client.ExecuteBatch(
      {{.statement = {.sql = "UPDATE orders SET amount = ?3 WHERE id = ?1 AND amount = ?2",
                      .positional = Values(id, from, to)},
        .expect = {cairn::RowExpectation::Kind::kExactly, 1}}});
  if (done.ok()) {
    std::cout << "changed\n";
  } else if (done.status().code() == cairn::StatusCode::kAborted) {
    std::cout << "somebody was faster\n";
  } else {
    return done.status();
  }
  return cairn::OkStatus();
}

// The rows as they are, then the next change of them.
Status Hear(cairn::Client& client) {
  auto watcher = client.Watch(
      {.filters = {{.table = "orders"}}, .from = cairn::WatchOptions::From::kSnapshot});
  if (!watcher.ok()) return watcher.status();
  for (bool wrote = false;;) {
    const auto event = (*watcher)->Next(std::chrono::seconds(20));
    if (!event.ok()) return event.status();
    if (event->kind == cairn::ChangeKind::kSnapshotEnd && !wrote) {
      wrote = true;
      const auto done =
          client.Execute({{.sql = "INSERT INTO orders VALUES (3, 'gears', 1, 'new')"}});
      if (!done.ok()) return done.status();
    }
    if (event->kind == cairn::ChangeKind::kInsert) {
      std::cout << "heard of order " << event->new_rowid.value_or(0) << "\n";
      return cairn::OkStatus();
    }
  }
}

Status Backup(cairn::Client& client, const std::string& path) {
  const auto done = client.Backup({.path = path});
  if (!done.ok()) return done.status();
  std::cout << "backed up\n";
  return cairn::OkStatus();
}

Status Run(const std::string& endpoints, const std::string& backup) {
  const auto client =
      cairn::Client::Connect({.endpoints = Split(endpoints), .timeout = std::chrono::seconds(20)});
  if (!client.ok()) return client.status();
  Status status = Write(**client);
  if (status.ok()) status = Read(**client);
  if (status.ok()) status = ChangeAmount(**client, 1, 2.5, 3.5);
  if (status.ok()) status = ChangeAmount(**client, 1, 2.5, 9.9);
  if (status.ok()) status = Hear(**client);
  if (status.ok()) status = Backup(**client, backup);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: orders HOST:PORT[,HOST:PORT...] BACKUP_FILE\n";
    return 2;
  }
  const Status status = Run(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::cerr << "error: " << status << "\n";
  return 1;
}
