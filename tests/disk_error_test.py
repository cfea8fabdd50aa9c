"""A disk that fails a sync: the process ends, since nobody knows what is stored; nothing is lost."""
import unittest

import harness
from harness import COMPILER, CairnTest, wait_until

# Fails one fdatasync of the Raft log when the trigger file is there, and takes the trigger away.
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


if __name__ == "__main__":
    harness.main()
