"""Stale reads of a bounded age at nodes that were stopped: messages in their sockets are old."""
import shutil
import time
import unittest

from harness import CairnTest, wait_until
from raw_grpc import FAILED_PRECONDITION, OK, UNAVAILABLE, Call, field, message, unary

QUERY = "/cairn.v1.Database/Query"
STALE = 1
BOUND = 0.5


def ask(node):
    """Sends a read of the counter that may be BOUND seconds old. Returns the unanswered call."""
    read = field(1, STALE) + field(3, int(BOUND * 1000))
    call = Call(node.port, QUERY)
    # The answer holds the number after a mark, so no decoder is needed.
    sql = "SELECT 'value=' || n || ';' AS v FROM t"
    call.send(message(field(1, field(1, sql)) + field(2, read)), end=True)
    return call


def value(call):
    """The value that was read; -1 of the state before the row was there; None if the node refused the
    read as too old."""
    status = call.finish()
    if status == FAILED_PRECONDITION:
        return None
    assert status == OK, (status, call.text)
    _, mark, rest = bytes(call.answer).partition(b"value=")
    return int(rest.split(b";")[0]) if mark else -1


class Staleness(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3)
        self.leader = self.await_leader()
        self.leader.sql("CREATE TABLE t(n INTEGER)")
        self.leader.sql("INSERT INTO t VALUES (0)")
        self.written = [(time.monotonic(), 0)]  # when each value was acknowledged

    def write(self, node):
        done = node.shell("UPDATE t SET n = n + 1")
        if done.returncode == 0:
            self.written.append((time.monotonic(), self.written[-1][1] + 1))
        return done.returncode == 0

    def oldest_allowed(self, asked):
        return max(n for at, n in self.written if at <= asked - BOUND)

    def fresh_everywhere(self):
        newest = self.written[-1][1]
        return all(value(ask(node)) == newest for node in self.nodes)

    def stop_and_ask(self, stopped):
        """Stops a node while others write, and sends it reads: while it is stopped, and as it resumes."""
        others = [node for node in self.nodes if node is not stopped]
        wait_until(self.fresh_everywhere, "every node knows that it is up to date")
        stopped.pause()
        try:
            wait_until(lambda: self.write(others[0]), "a write without the node that stands")
            replaced = time.monotonic()
            while time.monotonic() < replaced + 4 * BOUND:
                wait_until(lambda: self.write(others[1]), "another write")
            calls = [(time.monotonic(), ask(stopped)) for _ in range(20)]
        finally:
            stopped.resume()
        answers = [(asked, value(call)) for asked, call in calls]
        for _ in range(40):
            asked = time.monotonic()
            answers.append((asked, value(ask(stopped))))
        for asked, got in answers:
            if got is not None:
                self.assertGreaterEqual(got, self.oldest_allowed(asked))
        wait_until(self.fresh_everywhere, "the node that stood is up to date again")
        return answers

    def test_a_leader_that_was_stopped_refuses_what_it_cannot_vouch_for(self):
        answers = self.stop_and_ask(self.leader)
        self.assertIsNone(answers[0][1], "nothing it holds is as young as that")

    def test_a_follower_that_was_stopped_refuses_what_it_cannot_vouch_for(self):
        follower = next(node for node in self.nodes if node is not self.leader)
        self.stop_and_ask(follower)


class WipedNode(CairnTest):
    def wipe(self, node):
        node.kill()
        shutil.rmtree(f"{node.db}.cairn")
        for suffix in ("", "-wal", "-shm"):
            node.db.with_name(node.db.name + suffix).unlink(missing_ok=True)

    def ask_local(self, node, sql):
        call = Call(node.port, QUERY)
        call.send(message(field(1, field(1, sql)) + field(2, field(1, STALE))), end=True)
        return call.finish(), call

    def local_version(self, node):
        call = unary(node.port, "/cairn.v1.Database/GetVersion", field(2, 1))
        return call.status, call

    def test_a_node_that_has_lost_its_data_serves_none_until_it_has_caught_up(self):
        self.new_cluster(3)
        leader = self.await_leader()
        leader.sql("CREATE TABLE t(n INTEGER)")
        leader.sql("INSERT INTO t VALUES (7)")
        wiped = next(node for node in self.nodes if node is not leader)
        others = [node for node in self.nodes if node is not wiped]
        self.wipe(wiped)
        for node in others:
            node.pause()
        wiped.start()
        try:
            for _ in range(20):
                status, call = self.ask_local(wiped, "SELECT 'value=' || n || ';' AS v FROM t")
                self.assertEqual(status, UNAVAILABLE, call.text)
                status, call = self.local_version(wiped)
                self.assertEqual(status, UNAVAILABLE, call.text)
        finally:
            for node in others:
                node.resume()

        def caught_up():
            status, call = self.ask_local(wiped, "SELECT 'value=' || n || ';' AS v FROM t")
            if status == OK:
                self.assertIn(b"value=7;", bytes(call.answer))
                return True
            self.assertEqual(status, UNAVAILABLE, call.text)
            return False

        wait_until(caught_up, "the node has caught up")


if __name__ == "__main__":
    unittest.main()
