#include "tools/restore.h"

#include "base/ids.h"
#include "tools/cluster_view.h"

namespace cairn::tools {

int RunRestore(server::RestoreOptions options, bool check_only, std::ostream* out,
               std::ostream* err) {
  options.progress = [out](const std::string& what) { *out << what << std::endl; };
  if (check_only) {
    const Result<LogIndex> index = server::VerifyBackup(options);
    if (index.ok()) {
      *out << options.backup << " is whole, and of index " << index->value() << std::endl;
      return 0;
    }
    *err << "error: " << ErrorInWords(index.status()) << std::endl;
    return 1;
  }
  const Result<server::RestoreResult> made = server::Restore(options);
  if (!made.ok()) {
    *err << "error: " << ErrorInWords(made.status()) << std::endl;
    return 1;
  }
  *out << "restored index " << made->backup_index.value() << " as cluster "
       << ClusterIdText(made->cluster_id) << ", restore count " << made->restores << "\n"
       << "start it: cairn server --id " << options.node_id << " --db " << options.db_path
       << " --port PORT\n"
       << "then add members: cairn member add ADDR ID HOST:PORT" << std::endl;
  return 0;
}

}  // namespace cairn::tools
