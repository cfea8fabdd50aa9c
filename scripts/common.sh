# Sourced by the other scripts: strict mode, messages, the project's root as working directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '==> %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
# Reports which step failed. The cause is above in the output.
trap 'status=$?; printf "error: %s failed (exit %d) at line %d: %s\n" "$0" "$status" "$LINENO" "$BASH_COMMAND" >&2' ERR
