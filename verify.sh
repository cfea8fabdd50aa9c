#!/usr/bin/env bash
# Fault scenarios on real processes: verify.sh --scenario NAME|all. Prints each step and a verdict;
# exit status 0 only if all passed. A failed scenario keeps its directory (data and logs) and says
# where. CAIRN_BIN names the program (default: build/cairn beside this script).
set -uo pipefail
root=$(cd "$(dirname "$0")" && pwd)
cairn=${CAIRN_BIN:-$root/build/cairn}

all_scenarios=(full verify-only restart_single_node prepare_commit_kill prepare_commit_kill_matrix
  repeat_verify_3x chaos_multi_restart chaos_mixed_faults chaos_prepare_commit_alternate
  kill_leader wipe_and_rejoin batch_commit_and_rollback)
# The bound on every wait, in seconds.
bound=${VERIFY_BOUND_SECONDS:-30}

usage() {
  cat <<EOF
usage: verify.sh --scenario NAME [--nodes N]
Scenarios, each on a fresh cluster of N (default 3) nodes on free ports of this machine:
  full                            writes, two-phase commit, equal versions everywhere
  verify-only                     equal versions, on a cluster that others have written to
  restart_single_node             a node misses writes while it is down, and catches up
  prepare_commit_kill             a node dies between Prepare and Commit
  prepare_commit_kill_matrix      the same for the leader and a follower, with several pauses
  repeat_verify_3x                the full scenario and the comparison, three times over
  chaos_multi_restart             every node is killed and restarted in turn, twice, under load
  chaos_mixed_faults              kills, pauses (SIGSTOP), clean stops and hand-overs, under load
  chaos_prepare_commit_alternate  two-phase commits, each with another node killed
  kill_leader                     under load: all acknowledged writes survive, none twice
  wipe_and_rejoin                 a node loses its disk and is let in again
  batch_commit_and_rollback       batches take effect as a whole or not at all, also with a node down
                                  and under the next leader
  all                             all of these
EOF
}

say() { printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*"; }

# --- One cluster ------------------------------------------------------------------------------

# Ports below the range that the kernel gives to outgoing connections: one of those could take the
# port of a node that is down for a moment.
pick_ports() {
  local count=$1 tries base port
  for ((tries = 0; tries < 100; ++tries)); do
    base=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    for ((port = base; port < base + count; ++port)); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
    done
    echo "$base"
    return 0
  done
  return 1
}

cluster_new() {
  dir=$(mktemp -d "${TMPDIR:-/tmp}/cairn-verify.XXXXXX")
  base_port=$(pick_ports "$nodes") || { say "no free ports"; return 1; }
  pids=()
  peers=""
  local id
  for ((id = 1; id <= nodes; ++id)); do peers+="${peers:+,}$id=$(address "$id")"; done
  say "cluster of $nodes nodes, ports $base_port and up, directory $dir"
  for ((id = 1; id <= nodes; ++id)); do node_start "$id" || return 1; done
  await_leader
}

address() { echo "127.0.0.1:$((base_port + $1 - 1))"; }
other_addresses() {
  local id list=""
  for ((id = 2; id <= nodes; ++id)); do list+="${list:+,}$(address "$id")"; done
  echo "$list"
}

# Waits until the node reports that it listens.
node_start() {
  local id=$1 log="$dir/node$1.log" before
  touch "$log"
  before=$(grep -c ' serving on ' "$log")
  "$cairn" server --id "$id" --port $((base_port + id - 1)) --db "$dir/node$id.db" \
    --peers "$peers" >>"$log" 2>&1 &
  pids[id]=$!
  say "node $id started"
  if ! wait_until node_listens "$id" "$before"; then
    say "node $id did not come up; its log ends:"
    tail -n 5 "$log"
    return 1
  fi
}
node_listens() {
  kill -0 "${pids[$1]}" 2>/dev/null || return 3
  [ "$(grep -c ' serving on ' "$dir/node$1.log")" -gt "$2" ]
}

node_kill() {
  kill -KILL "${pids[$1]}" 2>/dev/null
  wait "${pids[$1]}" 2>/dev/null
  pids[$1]=0
  say "node $1 killed (SIGKILL)"
}
# Stops a node cleanly: sends SIGTERM, and demands exit status 0.
node_stop() {
  local status
  kill -TERM "${pids[$1]}"
  wait "${pids[$1]}"
  status=$?
  pids[$1]=0
  say "node $1 stopped (SIGTERM), exit status $status"
  return "$status"
}
node_up() { [ "${pids[$1]:-0}" -ne 0 ] && kill -0 "${pids[$1]}" 2>/dev/null; }

# wait_until COMMAND...: waits until the command succeeds. Fails after the bound, or at once if the
# command returns 3.
wait_until() {
  local until=$((SECONDS + bound)) status
  while true; do
    "$@"
    status=$?
    [ "$status" -eq 0 ] && return 0
    [ "$status" -eq 3 ] && return 1
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.05
  done
}

# One field of a node's own status, such as role, term or applied.
status_field() {
  "$cairn" shell "$(address "$1")" --mode json --timeout-ms 1000 -c .status 2>/dev/null |
    grep -o "\"$2\":[^,}]*" | head -n 1 | cut -d: -f2- | tr -d '"'
}
find_leader() {
  local id
  for ((id = 1; id <= nodes; ++id)); do
    if node_up "$id" && [ "$(status_field "$id" role)" = leader ]; then
      leader=$id
      return 0
    fi
  done
  return 1
}
await_leader() {
  wait_until find_leader || { say "no leader within $bound s"; return 1; }
  say "node $leader leads"
}
some_follower() { echo $((leader % nodes + 1)); }

client() { "$cairn" client --master-addr "$(address 1)" --slave-addrs "$(other_addresses)" "$@"; }

# The comparison must hold on every node, not only on a majority.
verify_all_nodes() {
  local out
  out=$(client --scenario verify-only)
  local status=$?
  printf '%s\n' "$out"
  [ "$status" -eq 0 ] && grep -q "equal on $nodes of $nodes nodes" <<<"$out"
}
await_verified() { wait_until verify_all_nodes; }

load_start() {
  : >"$dir/load.log"
  client --scenario load --ledger "$dir/ledger" --duration-ms "$1" >"$dir/load.log" 2>&1 &
  load_pid=$!
  wait_until grep -q "load begins" "$dir/load.log" || { say "the load did not begin"; return 1; }
  say "load of $1 ms begins"
}
# Demands that every acknowledged row is there once, on all nodes.
load_check() {
  wait "$load_pid"
  local status=$?
  cat "$dir/load.log"
  [ "$status" -eq 0 ] || return 1
  client --scenario check-load --ledger "$dir/ledger"
}
load_running() { kill -0 "$load_pid" 2>/dev/null; }

cluster_end() {
  local id
  for ((id = 1; id <= nodes; ++id)); do
    node_up "$id" || continue
    kill -CONT "${pids[$id]}" 2>/dev/null
    kill -KILL "${pids[$id]}" 2>/dev/null
    wait "${pids[$id]}" 2>/dev/null
  done
  if [ -n "${load_pid:-}" ]; then
    kill -KILL "$load_pid" 2>/dev/null
    wait "$load_pid" 2>/dev/null
    load_pid=""
  fi
}

# --- The scenarios ----------------------------------------------------------------------------

scenario_full() { client --scenario full && verify_all_nodes; }

scenario_verify_only() {
  "$cairn" shell "$(address 2)" -c "CREATE TABLE mine (a)" &&
    "$cairn" shell "$(address 3)" -c "INSERT INTO mine VALUES (1), (2)" && verify_all_nodes
}

scenario_restart_single_node() {
  local victim
  victim=$(some_follower)
  client --scenario full || return 1
  node_kill "$victim"
  say "writing while node $victim is down"
  client --scenario full || return 1
  node_start "$victim" && await_verified
}

# kill_in_window leader|follower PAUSE_MS
kill_in_window() {
  local victim out="$dir/client.log" client_pid
  await_leader || return 1
  victim=$leader
  [ "$1" = follower ] && victim=$(some_follower)
  say "the $1 (node $victim) dies in a window of $2 ms between Prepare and Commit"
  : >"$out"
  client --scenario full --pause-before-commit-ms "$2" >"$out" 2>&1 &
  client_pid=$!
  wait_until grep -q "pausing $2 ms" "$out" || {
    cat "$out"
    say "no pause seen"
    return 1
  }
  node_kill "$victim"
  wait "$client_pid"
  local status=$?
  cat "$out"
  [ "$status" -eq 0 ] || return 1
  node_start "$victim" && await_verified
}
scenario_prepare_commit_kill() { kill_in_window leader 1000; }
scenario_prepare_commit_kill_matrix() {
  local pause role
  for pause in 50 200 1000 2500; do
    for role in follower leader; do
      kill_in_window "$role" "$pause" || return 1
    done
  done
}

scenario_repeat_verify_3x() {
  local round
  for round in 1 2 3; do
    say "round $round"
    client --scenario full && verify_all_nodes || return 1
  done
}

scenario_chaos_multi_restart() {
  local round id
  load_start 8000 || return 1
  for round in 1 2; do
    for ((id = 1; id <= nodes; ++id)); do
      node_kill "$id"
      node_start "$id" && await_leader || return 1
    done
  done
  load_check && await_verified
}

scenario_chaos_mixed_faults() {
  local round=0 victim
  load_start 10000 || return 1
  while load_running; do
    await_leader || return 1
    round=$((round + 1))
    case $((round % 5)) in
      1)
        victim=$(some_follower)
        node_kill "$victim"
        client --scenario full >"$dir/client.log" || { cat "$dir/client.log"; return 1; }
        node_start "$victim" || return 1
        ;;
      2)
        victim=$leader
        kill -STOP "${pids[$victim]}"
        say "node $victim, the leader, stands still (SIGSTOP)"
        wait_until another_leader "$victim" || { say "no other leader"; return 1; }
        say "node $leader leads"
        kill -CONT "${pids[$victim]}"
        say "node $victim goes on"
        ;;
      3)
        victim=$leader
        node_stop "$victim" && node_start "$victim" || return 1
        ;;
      4)
        victim=$leader
        "$cairn" member transfer "$(address "$victim")" --timeout-ms 5000 || return 1
        ;;
      0)
        victim=$leader
        node_kill "$victim"
        node_start "$victim" || return 1
        ;;
    esac
  done
  say "$round faults"
  load_check && await_verified
}
another_leader() {
  local id
  for ((id = 1; id <= nodes; ++id)); do
    [ "$id" -ne "$1" ] || continue
    if [ "$(status_field "$id" role)" = leader ]; then
      leader=$id
      return 0
    fi
  done
  return 1
}

scenario_chaos_prepare_commit_alternate() {
  local round role
  for round in 1 2 3 4; do
    role=follower
    [ $((round % 2)) -eq 0 ] && role=leader
    kill_in_window "$role" 300 || return 1
    # Also once without a fault, in strong mode: all nodes must hold and apply the transaction.
    client --scenario full --mode strong || return 1
  done
}

scenario_kill_leader() {
  local kills
  load_start 8000 || return 1
  for kills in 1 2 3; do
    await_leader || return 1
    local victim=$leader
    node_kill "$victim"
    await_leader || return 1
    node_start "$victim" || return 1
  done
  load_check && await_verified
}

# A voter under a member id that the first cluster did not have.
is_new_voter() {
  local line
  line=$("$cairn" member list --mode csv "$(address "$leader")" 2>/dev/null | grep "^$1,") || return 1
  [ "$(cut -d, -f2 <<<"$line")" -gt "$nodes" ] && [ "$(cut -d, -f4 <<<"$line")" = voter ]
}

scenario_wipe_and_rejoin() {
  local victim
  client --scenario full || return 1
  victim=$(some_follower)
  node_kill "$victim"
  rm -rf "$dir/node$victim.db" "$dir/node$victim.db"-* "$dir/node$victim.db.cairn"
  say "node $victim lost its disk"
  client --scenario full || return 1
  node_start "$victim" || return 1
  # Nobody helps the node: the leader admits it under a new member id once its old self was silent.
  wait_until is_new_voter "$victim" || { say "node $victim was not let in again"; return 1; }
  say "node $victim votes again, as a new member"
  await_verified && "$cairn" member list "$(address "$leader")"
}

# The leader of a new cluster raises the feature level, which expectations need.
level_has_risen() { [ "$(status_field "$leader" level)" -ge 2 ]; }
# Once as it is, once with a node down, and once under the next leader.
scenario_batch_commit_and_rollback() {
  local follower
  wait_until level_has_risen || { say "the level of the new cluster did not rise"; return 1; }
  client --scenario batch_commit_and_rollback || return 1
  follower=$(some_follower)
  node_kill "$follower"
  client --scenario batch_commit_and_rollback || return 1
  node_start "$follower" && await_verified || return 1
  await_leader && node_kill "$leader"
  client --scenario batch_commit_and_rollback || return 1
  node_start "$leader" && await_verified
}

# --- Running them -----------------------------------------------------------------------------

run_scenario() {
  local name=$1 began=$SECONDS
  printf '\n=== %s\n' "$name"
  if cluster_new && "scenario_${name//-/_}"; then
    cluster_end
    rm -rf "$dir"
    printf 'PASS %s (%d s)\n' "$name" $((SECONDS - began))
    return 0
  fi
  cluster_end
  printf 'FAIL %s (%d s); data and logs are kept in %s\n' "$name" $((SECONDS - began)) "${dir:-}"
  return 1
}

scenario=""
nodes=3
while [ $# -gt 0 ]; do
  case $1 in
    --scenario) scenario=${2:-}; shift 2 || shift ;;
    --nodes) nodes=${2:-}; shift 2 || shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
if ! [[ "$nodes" =~ ^[3-9]$ ]]; then
  echo "error: --nodes takes a number from 3 to 9" >&2
  exit 2
fi
if [ ! -x "$cairn" ]; then
  echo "error: no program at $cairn; run make build first, or set CAIRN_BIN" >&2
  exit 2
fi
load_pid=""
pids=()
trap 'cluster_end; exit 130' INT TERM

if [ "$scenario" = all ]; then
  chosen=("${all_scenarios[@]}")
elif [[ " ${all_scenarios[*]} " == *" $scenario "* ]] && [ -n "$scenario" ]; then
  chosen=("$scenario")
else
  usage >&2
  exit 2
fi
failed=()
for name in "${chosen[@]}"; do run_scenario "$name" || failed+=("$name"); done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nFAIL: %d of %d scenarios: %s\n' ${#failed[@]} ${#chosen[@]} "${failed[*]}"
  exit 1
fi
printf '\nPASS: all %d scenarios\n' ${#chosen[@]}
