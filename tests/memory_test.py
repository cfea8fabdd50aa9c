"""A node's memory stays within its budget, whatever clients send and do not read."""
import time

import harness
import raw_grpc
from harness import CairnTest, wait_until
from raw_grpc import field, message, unary

DATABASE = "/cairn.v1.Database/"
BUDGET_MB = 128
# Outside the budget: the program, SQLite's caches, the log's buffers, memory that the allocator
# has not given back, and bytes that gRPC reads before it checks its own bound.
ALLOWANCE_MB = 96


def statement(sql, values=b""):
    return field(1, sql) + values


def execute(sql, values=b""):
    return field(1, statement(sql, values))


def session_request(number, kind, body):
    return field(1, field(1, number) + field(kind, body))


class Memory(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1, flags=["--memory-bytes-max", f"{BUDGET_MB}MiB"])[0]
        self.node.sql("CREATE TABLE t (a)")
        self.node.sql("INSERT INTO t VALUES (1)")
        self.calls = []

    def tearDown(self):
        for call in self.calls:
            call.drop()
        super().tearDown()

    def open(self, method, source="127.0.0.1"):
        call = raw_grpc.Call(self.node.port, DATABASE + method, source=source)
        self.calls.append(call)
        return call

    def session(self, source="127.0.0.1"):
        call = self.open("Session", source)
        while not call.answer:
            call.read_frame()
        return call

    def assert_within_budget(self):
        self.assertTrue(self.node.up)
        self.assertLess(self.node.memory_mb_max(), BUDGET_MB + ALLOWANCE_MB)

    def assert_serves(self):
        self.node.sql("INSERT INTO t VALUES (2)")
        self.assertTrue(self.node.up)

    def test_reads_of_an_index_that_never_comes_leave_room_for_the_reads_of_others(self):
        for _ in range(4):
            session = self.session()
            get_version = field(2, 1) + field(3, 1 << 62)  # local, index_min
            session.send(message(b"".join(
                field(1, field(1, i + 1) + field(2, 86_400_000) + field(8, get_version))
                for i in range(4096))))
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])
        for call in self.calls:
            call.drop()
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])
        self.assert_within_budget()
        self.assert_serves()

    def test_a_message_of_empty_requests(self):
        call = self.session()
        call.send(message(b"\x0a\x00" * (8 << 20)))
        self.assertEqual(call.finish(), raw_grpc.RESOURCE_EXHAUSTED, call.text)
        self.assert_within_budget()
        self.assert_serves()

    def test_a_request_of_eight_million_values(self):
        call = unary(self.node.port, DATABASE + "Execute",
                     execute("INSERT INTO t VALUES (?)", b"\x12\x00" * 8_000_000))
        self.assertEqual(call.status, raw_grpc.RESOURCE_EXHAUSTED, call.text)
        call = unary(self.node.port, DATABASE + "Query",
                     execute("SELECT ?", b"\x12\x00" * 8_000_000))
        self.assertEqual(call.status, raw_grpc.RESOURCE_EXHAUSTED, call.text)
        self.assert_within_budget()
        self.assert_serves()

    def test_results_of_writes_that_nobody_takes(self):
        write = execute("UPDATE t SET a = a RETURNING zeroblob(1000000)")
        calls = [self.session() for _ in range(2)]
        before = int(self.node.status()["applied"])
        for call in calls:
            # At most what may be sent without reading.
            call.send(message(b"".join(session_request(i, 3, write) for i in range(1, 800))))
        wait_until(lambda: int(self.node.status()["applied"]) > before, "the writes are applied")
        self.settle()
        self.assert_within_budget()
        self.assert_serves()

    def test_results_of_reads_that_nobody_takes(self):
        read = field(1, statement("SELECT zeroblob(3900000)"))
        for _ in range(4):
            self.session().send(message(b"".join(session_request(i, 4, read)
                                                 for i in range(1, 800))))
        self.settle()
        self.assert_within_budget()
        self.assert_serves()

    def test_streams_that_nobody_reads(self):
        for _ in range(60):
            self.open("Query").send(message(execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                "SELECT zeroblob(3900000) FROM n")), end=True)
        self.settle()
        self.assert_within_budget()
        self.assert_serves()

    def test_queries_that_hold_large_values(self):
        columns = ", ".join(f"hex(zeroblob({8_000_000 - i})) AS c{i}" for i in range(100))
        names = " + ".join(f"length(c{i})" for i in range(100))
        call = unary(self.node.port, DATABASE + "Query",
                     execute(f"SELECT {names} FROM (SELECT {columns} LIMIT 1)"))
        self.assertIn(call.status, (raw_grpc.OK, raw_grpc.RESOURCE_EXHAUSTED), call.text)
        self.assert_within_budget()
        self.assert_serves()

    def test_a_result_much_larger_than_the_memory_of_queries_is_streamed(self):
        done = self.node.shell("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000)"
                               " SELECT hex(zeroblob(150)) || i FROM n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("0" * 300), 200_000)
        self.assert_within_budget()

    def test_many_large_requests_that_come_to_an_end_slowly(self):
        request = message(execute("INSERT INTO t VALUES (?)",
                                  field(2, field(4, b"x" * (15 << 20)))))
        for _ in range(24):
            call = self.open("Execute")
            call.socket.settimeout(2)
            try:
                call.send(request[:-1])
            except TimeoutError:
                pass  # the node reads no more
        self.settle()
        self.assert_within_budget()
        for call in self.calls:
            call.drop()
        self.calls.clear()
        self.assert_serves()

    def test_transactions_that_are_prepared_and_never_ended(self):
        blob = field(2, field(4, b"x" * (3 << 20)))

        def prepare(i):
            return unary(self.node.port, DATABASE + "Prepare",
                         field(1, f"x{i}") + field(2, statement(f"INSERT INTO t{i} VALUES (?)", blob)))

        for i in range(12):  # a transaction holds its table
            self.node.sql(f"CREATE TABLE t{i} (a)")
        answers = [prepare(i) for i in range(11)]
        self.assertEqual(answers[0].status, 0, answers[0].text)
        self.assertEqual(answers[-1].status, raw_grpc.RESOURCE_EXHAUSTED, answers[-1].text)
        self.assert_within_budget()
        self.node.kill()
        self.node.start()  # the node reads the transactions again
        self.assert_serves()
        again = prepare(11)
        self.assertEqual(again.status, raw_grpc.RESOURCE_EXHAUSTED, again.text)
        self.assert_within_budget()

    def test_sessions_of_many_hosts_that_remember_their_results(self):
        """Eight hosts fill the share of sessions, and that of kept results."""
        write = field(1, statement("UPDATE t SET a = a RETURNING zeroblob(400)"))

        def request(host, i):
            name = field(2, field(1, f"{host}/{i}".ljust(64, "x")) + field(2, 1))
            return session_request(i, 3, write + name)

        for host in range(2, 10):
            call = self.session(f"127.0.0.{host}")
            for first in range(1, 12_001, 2_000):
                call.send(message(b"".join(request(host, i) for i in range(first, first + 2_000))))
                answered = 0
                while answered < 2_000:
                    answered += len(raw_grpc.fields(call.take_message(), 1))

        def one_more(host, i):
            name = field(2, field(1, f"one more {i}") + field(2, 1))
            call = unary(self.node.port, DATABASE + "Execute", write + name, source=f"127.0.0.{host}")
            return call.status

        self.assertEqual(one_more(2, 0), raw_grpc.RESOURCE_EXHAUSTED)
        # The hosts' shares leave room for a few sessions.
        self.assertIn(raw_grpc.RESOURCE_EXHAUSTED, [one_more(10, i) for i in range(10)])
        self.assert_within_budget()
        self.node.kill()
        self.node.start()  # the node reads the sessions again
        self.assert_serves()
        self.assertEqual(one_more(10, 10), raw_grpc.RESOURCE_EXHAUSTED)
        self.assert_within_budget()

    def test_an_idle_node_is_small(self):
        self.assertLess(self.node.memory_mb_max(), 32)

    def settle(self):
        """Waits until the node's memory grows no more."""
        seen = [-1, self.node.memory_mb_max()]
        while seen[-1] != seen[-2]:
            time.sleep(0.5)
            seen.append(self.node.memory_mb_max())


if __name__ == "__main__":
    harness.main()
