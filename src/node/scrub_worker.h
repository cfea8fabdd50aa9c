// ScrubWorker: the thread that looks through the database. It makes the digests that the log asks
// for, and reads all rows again, slowly, to find what the disk has changed.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mailbox.h"
#include "base/status.h"
#include "state_machine/state_machine.h"

namespace cairn::node {

// The owner of the worker. The worker calls these on its own thread.
class ScrubWorkerEvents {
 public:
  virtual ~ScrubWorkerEvents() = default;
  virtual void OnDigest(LogIndex index, const state_machine::StateDigest& digest) = 0;
  // OK: the rows were those that were written. Otherwise the file is damaged (DATA_LOSS).
  virtual void OnScrubbed(LogIndex index, const Status& found) = 0;
};

// The worker makes a digest at once. It reads the rows by one scan at a time, for at most a quarter
// of one core's time, on a thread of low priority. A scan that comes while another one is under way
// is dropped once its digest is made.
class ScrubWorker {
 public:
  using Scan = std::unique_ptr<state_machine::StateScan>;

  ScrubWorker(Clock* clock, ScrubWorkerEvents* events) : clock_(clock), events_(events) {}
  ~ScrubWorker() { Stop(); }

  void Start();
  // Scans come with digest entries, and one more each period, so there are never many.
  void Push(Scan scan) { scans_.Push(std::move(scan)); }
  void Stop();

  // The body of the thread, one round at a time. Returns when to call again; max(): not before
  // there is a scan. The simulator, which has no threads, calls this and never Start.
  SteadyTime RunRound(std::vector<Scan> scans);

 private:
  void Run();
  void MakeDigest(state_machine::StateScan& scan);
  SteadyTime ReadRows();

  Clock* const clock_;
  ScrubWorkerEvents* const events_;
  Mailbox<Scan> scans_;
  Scan reading_;
  std::thread thread_;
};

}  // namespace cairn::node
