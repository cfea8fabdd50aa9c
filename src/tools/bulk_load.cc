#include "tools/bulk_load.h"

#include <utility>

#include "tools/load_checks.h"
#include "tools/load_commands.h"
#include "tools/resumed_load.h"
#include "tools/staged_load.h"

namespace cairn::tools {
namespace {

// Up to so many rows for tables of the cluster each have a statement, which names the row that fails.
constexpr uint64_t kRowsAloneMax = 10'000;
// One command moves so much from the stage into tables of the cluster.
constexpr size_t kMovedBytesMax = 64u << 20;

class Loader {
 public:
  Loader(LocalDatabase* local, Client* client, Client* maintenance, const BulkLoadOptions& options)
      : load_{local, client, maintenance, &options, {}, {}} {}

  Result<BulkLoadResult> Run() {
    const BulkLoadOptions& options = *load_.options;
    ASSIGN_OR_RETURN(load_.plan, PlanLoad(load_.local, options.existing));
    ASSIGN_OR_RETURN(schema_, ReadClusterSchema(load_));
    RETURN_IF_ERROR(CheckNames(load_, schema_));
    ASSIGN_OR_RETURN(const std::string digest, CheckRows(load_));
    bool cluster_checks = false;
    if (!options.unchecked) {
      ASSIGN_OR_RETURN(cluster_checks, CheckReferences(load_));
    }
    if (load_.plan.has_foreign_keys) {
      end_keys_ = cluster_checks ? ForeignKeys::kCheckedAtEnd : ForeignKeys::kUnchecked;
    }
    load_.result.tables = load_.plan.tables.size();
    const bool all_new = options.existing.empty();
    if (options.resume && !all_new) {
      RETURN_IF_ERROR(LoadResuming(&load_, digest));
      return load_.result;
    }
    ASSIGN_OR_RETURN(const bool done, LoadAtOnce(all_new ? end_keys_ : ForeignKeys::kEnforced));
    if (!done && !all_new) {
      RETURN_IF_ERROR(CheckMoves());
      RETURN_IF_ERROR(LoadStaged(&load_, {}, ForeignKeys::kEnforced));
    } else if (!done) {
      RETURN_IF_ERROR(CheckRenames(&load_));
      RETURN_IF_ERROR(LoadStaged(&load_, EndOfLoad(load_, schema_), end_keys_));
    }
    TellOfVersion();
    return load_.result;
  }

 private:
  // False: it is too much for one command.
  Result<bool> LoadAtOnce(ForeignKeys keys) {
    const LoadPlan& plan = load_.plan;
    CommandMaker maker;
    for (const LoadTable& table : plan.tables) {
      if (!table.exists && !table.is_virtual) maker.Add(table.sql);
    }
    bool fits = true;
    for (const LoadTable& table : plan.tables) {
      if (!table.exists && table.is_virtual) AddVirtualTable(table, table.name, &maker);
      const bool alone = table.exists && plan.rows <= kRowsAloneMax;
      maker.BeginTable(table.name, table.columns, alone ? 1 : kRowsPerStatement);
      const Status read = EachRow(load_.local, table, 0, [&](const Row& row) {
        maker.Add(row);
        fits = !maker.IsFull(load_.options->one_command_bytes);
        return fits ? OkStatus() : ResourceExhausted("");
      });
      if (!fits) return false;
      RETURN_IF_ERROR(read);
    }
    for (const Statement& statement : EndOfLoad(load_, schema_)) {
      maker.Add(statement.sql, statement.positional);
    }
    for (const LoadObject& object : plan.objects) maker.Add(object.sql);
    if (maker.IsFull(load_.options->one_command_bytes)) return false;
    RETURN_IF_ERROR(LoadCommands(&load_).Must(maker.Take(), keys, 0));
    load_.result.rows = plan.rows;
    return true;
  }

  // The last command of a staged load can move the rows into tables that the cluster has.
  Status CheckMoves() {
    size_t bytes = 0;
    for (const LoadTable& table : load_.plan.tables) {
      if (!table.exists) {
        return ResourceExhausted(
            "rows for tables that the cluster has and for new tables are more than one command "
            "takes "
            "(15 MiB, or 800,000 values) together, so they cannot be loaded as a whole: load " +
            table.name + " by itself");
      }
      const Status read = EachRow(load_.local, table, 0, [&](const Row& row) {
        bytes += RequestBytesOf(row);
        return bytes <= kMovedBytesMax ? OkStatus() : ResourceExhausted("");
      });
      if (bytes > kMovedBytesMax) {
        return ResourceExhausted(
            "the rows for tables that the cluster has are more than 64 MiB, so they cannot be "
            "loaded "
            "as a whole. --resume loads them by many commands: if one fails, the rows before it "
            "stay, and the same call goes on behind them. Or load them into a new table");
      }
      RETURN_IF_ERROR(read);
    }
    return OkStatus();
  }

  void TellOfVersion() const {
    const LoadPlan& plan = load_.plan;
    const auto tell = [&](const char* name, int64_t here, int64_t there) {
      if (here == 0 || there == 0 || here == there || !load_.options->tell) return;
      load_.options->tell(std::string("note: the cluster keeps its ") + name + " of " +
                          std::to_string(there) + "; the input has " + std::to_string(here));
    };
    tell("user_version", plan.user_version, schema_.user_version);
    tell("application_id", plan.application_id, schema_.application_id);
  }

  LoadContext load_;
  ClusterSchema schema_;
  // The input was checked already, unless the cluster must.
  ForeignKeys end_keys_ = ForeignKeys::kEnforced;
};

}  // namespace

Result<BulkLoadResult> BulkLoad(LocalDatabase* local, Client* client, Client* maintenance,
                                const BulkLoadOptions& options) {
  return Loader(local, client, maintenance, options).Run();
}

}  // namespace cairn::tools
