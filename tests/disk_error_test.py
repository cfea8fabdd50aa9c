"""Disks that fail or hang while the process runs.

A failed sync of the log ends the process, because nobody knows what is stored. A failure of the
database takes the node out of service until it has recovered by itself. No case loses data.
"""
import itertools
import time
import unittest

import harness
from harness import COMPILER, CairnTest, wait_until

# Fails one fdatasync of the Raft log when the trigger file is there, and removes the trigger file.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  const char* trigger = getenv("CAIRN_TEST_FAIL_SYNC");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  path[size > 0 ? size : 0] = 0;
  if (trigger != NULL && strstr(path, ".cairn/log/") != NULL && unlink(trigger) == 0) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}
"""

@unittest.skipUnless(COMPILER, "needs a C compiler")
class FailingSync(CairnTest):
    def setUp(self):
        super().setUp()
        shim = self.build_shim(SHIM)
        self.new_cluster(3, start=False)
        for node in self.nodes:
            node.env = {"LD_PRELOAD": shim, "CAIRN_TEST_FAIL_SYNC": str(self.trigger(node))}
            node.start()

    def trigger(self, node):
        return self.directory / f"fail{node.id}"

    def test_the_node_ends_and_nothing_acknowledged_is_lost(self):
        self.await_leader()
        self.start_load(300_000)
        for who in ("leader", "follower"):
            leader = self.await_leader()
            victim = leader if who == "leader" else self.nodes[leader.id % 3]
            self.trigger(victim).touch()
            status = victim.process.wait(timeout=harness.BOUND_SECONDS)
            self.assertNotEqual(status, 0)
            self.assertIn("syncing the log failed", victim.log)
            self.assertFalse(self.trigger(victim).exists())
            wait_until(lambda: any(node.leads() for node in self.nodes), "the others go on")
            victim.start()
        self.check_load(stop=True)
        self.assert_equal_contents()


# Fails writes to the WAL of the database (EIO) while the trigger file is there, and lets syncs of
# the Raft log hang while the other trigger file is there.
TROUBLE_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int matches(int fd, const char* variable, const char* part) {
  const char* trigger = getenv(variable);
  char link[64], path[4096];
  if (trigger == NULL || access(trigger, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  path[size > 0 ? size : 0] = 0;
  return strstr(path, part) != NULL;
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  static ssize_t (*real)(int, const void*, size_t, off64_t);
  if (real == NULL) real = (ssize_t(*)(int, const void*, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  if (matches(fd, "CAIRN_TEST_FAIL_WAL", "-wal")) {
    errno = EIO;
    return -1;
  }
  return real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  while (matches(fd, "CAIRN_TEST_HANG_LOG", ".cairn/log/")) usleep(10000);
  return real(fd);
}
"""


@unittest.skipUnless(COMPILER, "needs a C compiler")
class Trouble(CairnTest):
    def start_nodes(self, count):
        shim = self.build_shim(TROUBLE_SHIM)
        self.new_cluster(count, start=False)
        for node in self.nodes:
            node.env = {"LD_PRELOAD": shim,
                        "CAIRN_TEST_FAIL_WAL": str(self.directory / f"wal{node.id}"),
                        "CAIRN_TEST_HANG_LOG": str(self.directory / f"hang{node.id}")}
            node.start()

    def test_a_node_whose_database_fails_is_out_of_service_and_recovers_by_itself(self):
        self.start_nodes(3)
        sick = self.await_leader()
        sick.sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        trigger = self.directory / f"wal{sick.id}"
        trigger.touch()
        sick.shell("INSERT INTO t VALUES (1)", timeout_ms=2000)
        wait_until(lambda: "stopped applying" in sick.status()["trouble"], "the trouble is told")
        healthy = wait_until(lambda: next((n for n in self.nodes if n is not sick and n.leads()), None),
                             "another node leads")
        # A snapshot, which is a file of its own, may bring it forward now and then; it fails again
        # with the next write.
        rows = itertools.count(2)
        last = 1

        def trouble_after_a_write():
            nonlocal last
            last = next(rows)
            healthy.sql(f"INSERT INTO t VALUES ({last})")
            return "stopped applying" in sick.status()["trouble"]

        for _ in range(10):
            trouble_after_a_write()
            time.sleep(0.5)
        wait_until(trouble_after_a_write, "the trouble is told")
        self.assertLess(sick.log.count("out of service"), 30, "told once a change")
        trigger.unlink()
        wait_until(lambda: not sick.status()["trouble"], "the node is back in service")
        self.assertEqual(sick.sql("SELECT max(a) AS m FROM t"), [{"m": last}])
        self.assertTrue(sick.up)
        self.assert_equal_contents()

    def test_a_clean_stop_with_a_hung_disk_ends_in_time_with_an_error(self):
        self.start_nodes(1)
        node = self.nodes[0]
        wait_until(node.leads, "the node leads")
        node.sql("CREATE TABLE t (a)")
        hang = self.directory / f"hang{node.id}"
        hang.touch()
        node.shell("INSERT INTO t VALUES (1)", timeout_ms=500)
        begun = time.monotonic()
        node.process.terminate()
        status = node.process.wait(timeout=harness.BOUND_SECONDS)
        self.assertLess(time.monotonic() - begun, 12)
        self.assertGreater(status, 0)
        self.assertIn("the clean stop has not ended", node.log)
        hang.unlink()
        node.start()
        self.assertEqual(node.sql("SELECT count(*) AS n FROM sqlite_schema WHERE name = 't'"), [{"n": 1}])


if __name__ == "__main__":
    harness.main()
