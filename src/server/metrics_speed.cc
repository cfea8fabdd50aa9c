// Is it fast? Requests, and the stations of a write and of a read.
#include <algorithm>

#include "server/node_figures.h"

namespace cairn::server {
namespace {

using metrics::kNanosecond;
using metrics::Type;
using metrics::Values;
using F = NodeFigures;

double Seconds(SteadyTime time) { return std::chrono::duration<double>(time).count(); }

template <class Each>
void EachMethod(Each each) {
  for (size_t i = 0; i < kMethods; ++i) each(static_cast<Method>(i));
}

void RequestTimes(const F& f, Values* v) {
  EachMethod([&](Method method) {
    for (size_t i = 0; i < kEndings; ++i) {
      const auto ending = static_cast<Ending>(i);
      if (!IsWrite(method) && ending > Ending::kFailed) continue;
      v->Add(f.requests->times(method, ending), kNanosecond,
             {MethodName(method), EndingName(ending)});
    }
  });
}

void RequestCodes(const F& f, Values* v) {
  EachMethod([&](Method method) {
    for (size_t i = 0; i < RequestCounts::kCodes; ++i) {
      const auto code = static_cast<StatusCode>(i);
      const uint64_t ended = f.requests->ended(method, code);
      // Most methods never end with most codes.
      if (ended == 0 && code != StatusCode::kOk) continue;
      v->Add(static_cast<double>(ended), {MethodName(method), StatusCodeName(code)});
    }
  });
}

NodeMetrics Requests() {
  return {
      {{"cairn_request_seconds",
        Type::kHistogram,
        "Time of requests, from when they were understood until they were answered",
        {"method", "outcome"}},
       &RequestTimes},
      {{"cairn_requests_total",
        Type::kCounter,
        "Requests that were answered, by their status",
        {"method", "code"}},
       &RequestCodes},
      {{"cairn_requests_in_flight", Type::kGauge, "Requests that are not answered yet", {"method"}},
       [](const F& f, Values* v) {
         EachMethod([&](Method method) {
           v->Add(static_cast<double>(f.requests->in_flight(method)), {MethodName(method)});
         });
       }},
      {{"cairn_writes_forwarded_total", Type::kCounter,
        "Tries of writes that this node sent to the leader"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.writes_forwarded)); }},
      {{"cairn_writes_relayed_total", Type::kCounter,
        "Tries of writes that this node sent to another follower, because it did not reach the "
        "leader"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.writes_relayed)); }},
  };
}

void Batches(const F& f, Values* v) {
  for (size_t i = 0; i < node::kBatchEnds; ++i) {
    v->Add(static_cast<double>(f.counts->batches[i].value()),
           {node::BatchEndName(static_cast<node::BatchEnd>(i))});
  }
}

NodeMetrics Writes() {
  return {
      {{"cairn_write_queue_seconds", Type::kHistogram,
        "Time that the oldest write of an entry waited for the entry, on the leader"},
       [](const F& f, Values* v) { v->Add(f.counts->queue_wait, kNanosecond); }},
      {{"cairn_write_queue_bytes", Type::kGauge, "Bytes of the writes that wait for an entry"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.queued_bytes)); }},
      {{"cairn_write_queue_limit_bytes", Type::kGauge,
        "Bytes of waiting writes past which more are refused"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.write_queue_bytes_max)); }},
      {{"cairn_write_queue_commands", Type::kGauge, "Writes that wait for an entry"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.queued_commands)); }},
      {{"cairn_write_queue_limit_commands", Type::kGauge,
        "Waiting writes past which more are refused"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.write_queue_commands_max)); }},
      {{"cairn_write_entries_in_flight", Type::kGauge,
        "Entries of this leader that a majority does not hold yet"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.status.entries_in_flight)); }},
      {{"cairn_batches_total",
        Type::kCounter,
        "Entries that this leader made of the waiting writes, by what ended the gathering",
        {"end"}},
       &Batches},
      {{"cairn_batch_commands", Type::kHistogram, "Commands of an entry that this leader made"},
       [](const F& f, Values* v) { v->Add(f.counts->batch_commands, 1); }},
      {{"cairn_batch_bytes", Type::kHistogram, "Bytes of an entry that this leader made"},
       [](const F& f, Values* v) { v->Add(f.counts->batch_bytes, 1); }},
      {{"cairn_commit_seconds", Type::kHistogram,
        "Time from when this leader proposed an entry until a majority held it"},
       [](const F& f, Values* v) { v->Add(f.counts->commit, kNanosecond); }},
      {{"cairn_apply_seconds", Type::kHistogram,
        "Time to apply the entries that were ready together"},
       [](const F& f, Values* v) { v->Add(f.counts->apply, kNanosecond); }},
      {{"cairn_applied_entries_total", Type::kCounter, "Entries that were applied"},
       [](const F& f, Values* v) {
         v->Add(static_cast<double>(f.counts->entries_applied.value()));
       }},
      {{"cairn_apply_lag_entries", Type::kGauge, "Entries that are committed and not applied yet"},
       [](const F& f, Values* v) {
         const uint64_t commit = f.status.core.commit.value();
         v->Add(static_cast<double>(commit - std::min(commit, f.status.core.applied.value())));
       }},
      {{"cairn_apply_busy_seconds", Type::kGauge,
        "How long apply has been at one command; 0 if less than a second"},
       [](const F& f, Values* v) {
         v->Add(f.status.busy_apply ? Seconds(f.now - f.status.busy_apply->since) : 0.0);
       }},
      {{"cairn_checkpoint_seconds", Type::kHistogram,
        "Time of checkpoints, during which nothing is applied"},
       [](const F& f, Values* v) { v->Add(f.counts->checkpoint, kNanosecond); }},
  };
}

NodeMetrics Reads() {
  return {
      {{"cairn_state_age_seconds", Type::kGauge,
        "What this node holds is at most so old, by proof; absent until that is known"},
       [](const F& f, Values* v) {
         if (f.status.age) v->Add(Seconds(*f.status.age));
       }},
      {{"cairn_read_rounds_total", Type::kCounter,
        "Rounds of messages that proved reads linearizable"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.counts->read_rounds.value())); }},
      {{"cairn_reads_proved_total", Type::kCounter,
        "Groups of reads that asked for a round; several share one"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.counts->reads_proved.value())); }},
      {{"cairn_reads_waiting", Type::kGauge, "Reads that wait for a round or a thread"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.reads_waiting)); }},
      {{"cairn_reads_waiting_bytes", Type::kGauge, "Bytes of the requests of these reads"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.reads_waiting_bytes)); }},
      {{"cairn_long_queries", Type::kGauge, "Queries that take longer than a short read may"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.long_queries)); }},
      {{"cairn_long_query_views", Type::kGauge, "Of these, the queries that hold a view open"},
       [](const F& f, Values* v) { v->Add(static_cast<double>(f.long_query_views)); }},
  };
}

}  // namespace

const NodeMetrics& SpeedMetrics() {
  static const auto* const kMetrics = new NodeMetrics(Joined({Requests(), Writes(), Reads()}));
  return *kMetrics;
}

}  // namespace cairn::server
