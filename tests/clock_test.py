"""Wall clocks that jump: only the timestamps in the data may depend on them."""
import subprocess
import unittest

import harness
from harness import CAIRN, COMPILER, CairnTest, wait_until

# The wall clock is the kernel's clock plus the seconds in a file, read at every call. The steady
# clock stays true. (libfaketime would do the same, but waits for ever under jemalloc.)
SHIM = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
  const char* path = getenv("CAIRN_TEST_CLOCK");
  const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 0;
  char text[32];
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  text[size > 0 ? size : 0] = 0;
  return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  const int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += offset();
  }
  return result;
}

int gettimeofday(struct timeval* now, void* zone) {
  struct timespec precise;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""
DAY = 86400


@unittest.skipUnless(COMPILER, "needs a C compiler")
class JumpingClock(CairnTest):
    def setUp(self):
        super().setUp()
        shim = self.build_shim(SHIM)
        self.new_cluster(3, start=False)
        for node in self.nodes:
            self.jump(node, 0)
            node.env = {"LD_PRELOAD": shim, "CAIRN_TEST_CLOCK": str(self.clock_file(node))}
            node.start()
        self.leader = self.await_leader()

    def clock_file(self, node):
        return self.directory / f"clock{node.id}"

    def jump(self, node, seconds):
        """The node's wall clock shows the true time plus this from now on."""
        new = self.directory / "clock.new"
        new.write_text(f"{seconds}\n")
        new.rename(self.clock_file(node))

    def year(self):
        return int(self.leader.sql("SELECT strftime('%Y', max(at)) AS y FROM t")[0]["y"])

    def test_the_jump_is_seen_by_the_node(self):
        """Shows that the other tests test something."""
        self.leader.sql("CREATE TABLE t (at TEXT DEFAULT CURRENT_TIMESTAMP)")
        self.leader.sql("INSERT INTO t DEFAULT VALUES")
        before = self.year()
        for node in self.nodes:
            self.jump(node, 1000 * DAY)

        def later():
            self.leader.sql("INSERT INTO t DEFAULT VALUES")
            return self.year() >= before + 2
        wait_until(later, "the database tells the new time")

    def test_clocks_that_jump_apart_under_load_lose_nothing(self):
        self.start_load(300_000)
        for seconds in (DAY, -400 * DAY, 0, 3650 * DAY, -30):
            for node, offset in zip(self.nodes, (seconds, 0, -7200)):
                self.jump(node, offset)
            applied = self.await_leader().status()["applied"]
            wait_until(lambda: (self.await_leader().status() or {"applied": 0})["applied"] >
                       applied + 20, "writes go on")
        # Elections are not counted: the kernel does not know of these jumps, so that waits of gRPC's
        # that end at a time of the wall clock end at once or late, which a true jump would not do.
        self.check_load(stop=True)
        # A node whose clock is behind the kernel's would spin in those waits while it stops.
        for node in self.nodes:
            self.jump(node, 0)
        self.assert_equal_contents()

    def test_a_prepared_transaction_outlives_a_jump_of_a_day(self):
        log_path = self.directory / "client.log"
        with open(log_path, "wb") as log:
            client = subprocess.Popen(
                [CAIRN, "client", "--pause-before-commit-ms", "2000", "--master-addr",
                 self.leader.address, "--slave-addrs",
                 ",".join(node.address for node in self.nodes if node is not self.leader)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(client.kill)
        wait_until(lambda: "pausing" in log_path.read_text(), "the pause")
        for node in self.nodes:
            self.jump(node, DAY)
        self.assertEqual(client.wait(timeout=harness.BOUND_SECONDS), 0, log_path.read_text())
        self.assert_equal_contents()


if __name__ == "__main__":
    harness.main()
