"""Writes whose clients go while they wait for an entry: they are left out of the log, their memory is given
back, and nothing else is touched."""
import harness
from harness import wait_until
from metrics_test import HttpTest, scrape
from raw_grpc import OK, RST_STREAM, Call, field, frame, message, unary

EXECUTE = "/cairn.v1.Database/Execute"
SESSION = "/cairn.v1.Database/Session"
CANCEL = (8).to_bytes(4, "big")
PADDING = "x" * 10000


def insert(text):
    return field(1, field(1, f"INSERT INTO t VALUES ('{text}', '{PADDING}')"))


class CancelledWrites(HttpTest):
    # A leader that hears nobody stays the leader for so long, which is the time of this test.
    ELECTION_MS = 6000

    def execute(self, leader, text):
        call = Call(leader.port, EXECUTE)
        call.send(message(insert(text)), end=True)
        return call

    def test_queued_writes_of_gone_clients_are_left_out_and_their_memory_comes_back(self):
        nodes = self.start_http_cluster(3, flags=["--election-timeout-ms", str(self.ELECTION_MS)])
        leader = self.await_leader()
        followers = [node for node in nodes if node is not leader]
        leader.sql("CREATE TABLE t (a, padding)")
        # The node opens its own session with the first write that has no name.
        self.assertEqual(unary(leader.port, EXECUTE, insert("before")).status, OK)
        metric = 'cairn_refused_writes_total{reason="cancelled"}'
        self.assertEqual(scrape(leader)[metric], 0)
        for follower in followers:
            follower.pause()
        try:
            in_log = self.execute(leader, "in the log")
            wait_until(lambda: scrape(leader)["cairn_write_entries_in_flight"] == 1, "an entry waits")
            stays = self.execute(leader, "stays")
            reset = [self.execute(leader, "reset") for _ in range(10)]
            dropped = [self.execute(leader, "dropped") for _ in range(10)]
            session = Call(leader.port, SESSION)
            for number in range(10):
                request = field(1, number + 1) + field(3, insert("session"))
                session.send(message(field(1, request)))
            wait_until(lambda: scrape(leader)["cairn_write_queue_commands"] == 31, "the writes wait")
            full = scrape(leader)
            self.assertGreater(full["cairn_write_queue_bytes"], 31 * len(PADDING))

            for call in reset:
                call.write(frame(RST_STREAM, 0, 1, CANCEL))
            for call in [*dropped, session, in_log]:
                call.drop()
            wait_until(lambda: scrape(leader)["cairn_write_queue_commands"] == 1, "they are given up",
                       seconds=2)
            freed = scrape(leader)
            self.assertEqual(freed[metric], 30)
            self.assertLess(freed["cairn_write_queue_bytes"], 2 * len(PADDING))
            memory = 'cairn_memory_bytes{share="requests"}'
            wait_until(lambda: scrape(leader)[memory] < full[memory] - 30 * len(PADDING),
                       "their memory is given back", seconds=2)
        finally:
            for follower in followers:
                follower.resume()
        self.assertEqual(stays.finish(), OK)
        rows = [row["a"] for row in leader.sql("SELECT a FROM t ORDER BY rowid")]
        self.assertEqual(rows, ["before", "in the log", "stays"])
        for call in reset:
            call.drop()
        self.assert_equal_contents()


if __name__ == "__main__":
    harness.main()
