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


def send_what_is_taken(call, data, end=False):
    """Sends until the node reads no more."""
    call.socket.settimeout(2)
    try:
        call.send(data, end)
    except TimeoutError:
        pass


class Memory(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1, flags=["--memory-bytes-max", f"{BUDGET_MB}MiB"])[0]
        self.node.sql("CREATE TABLE t (a)")
        self.node.sql("INSERT INTO t VALUES (1)")
        self.calls = []

    def tearDown(self):
        self.drop_all()
        super().tearDown()

    def drop_all(self):
        for call in self.calls:
            call.drop()
        self.calls.clear()

    def open(self, method, source="127.0.0.1"):
        call = raw_grpc.Call(self.node.port, DATABASE + method, source=source)
        self.calls.append(call)
        return call

    def session(self, source="127.0.0.1"):
        call = self.open("Session", source)
        while not call.answer:
            self.assertFalse(call.closed, call.text)
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
            send_what_is_taken(self.open("Execute"), request[:-1])
        self.settle()
        self.assert_within_budget()
        self.drop_all()
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

    def fill(self, source, requests):
        """Sends requests, each one or more of a session, over one session. The codes of their errors."""
        call = self.session(source)
        codes = set()
        for first in range(0, len(requests), 1_000):
            part = b"".join(requests[first:first + 1_000])
            call.send(message(part))
            answered = 0
            asked = len(raw_grpc.fields(part, 1))
            while answered < asked:
                for answer in raw_grpc.fields(call.take_message(), 1):
                    answered += 1
                    codes.update(raw_grpc.read_varint(error[1:]) for error in raw_grpc.fields(answer, 2))
        call.drop()
        return codes

    def test_bare_ids_of_one_client_end_at_its_part(self):
        """A client's part is an eighth of 1,048,576."""
        part = 131_072

        def write(i, name):
            bare = field(2, field(1, name.ljust(64, "x")) + field(3, 1))
            return session_request(i, 3, execute("UPDATE t SET a = a WHERE 0") + bare)

        codes = self.fill("127.0.0.2", [write(i, f"a/{i}") for i in range(1, part + 2_001)])
        self.assertEqual(codes, {raw_grpc.RESOURCE_EXHAUSTED})
        self.assertEqual(self.fill("127.0.0.3", [write(i, f"b/{i}") for i in range(1, 2_001)]), set())
        self.assert_within_budget()
        self.node.kill()
        self.node.start()  # the node reads the ids again
        self.assertEqual(self.fill("127.0.0.2", [write(1, "a/new")]), {raw_grpc.RESOURCE_EXHAUSTED})
        self.assert_within_budget()
        self.assert_serves()

    def test_ended_transactions_of_one_client_end_at_its_part(self):
        """A client's part is 8 MiB, and each counts 256 bytes and its id."""
        part = (8 << 20) // 512

        def both(i):
            name = field(1, f"x{i}".ljust(256, "x"))
            prepare = session_request(2 * i + 1, 5, name + field(2, statement("INSERT INTO t VALUES (1)")))
            return prepare + session_request(2 * i + 2, 7, name)

        self.assertEqual(self.fill("127.0.0.2", [both(i) for i in range(part - 100)]), set())
        codes = self.fill("127.0.0.2", [both(i) for i in range(part - 100, part + 100)])
        self.assertIn(raw_grpc.RESOURCE_EXHAUSTED, codes)
        self.assert_within_budget()
        self.assert_serves()

    def test_watches_that_nobody_reads(self):
        for number in range(100):
            self.open("Watch", f"127.0.0.{2 + number % 8}").send(message(field(3, 1)), end=True)
        for _ in range(100):
            self.node.sql("INSERT INTO t VALUES (randomblob(1000000))")
        self.settle()
        self.assert_within_budget()
        self.assert_serves()

    def test_backups_that_nobody_reads(self):
        for _ in range(40):
            self.node.sql("INSERT INTO t VALUES (randomblob(1000000))")
        for number in range(60):
            self.open("Backup", f"127.0.0.{2 + number % 8}").send(message(b""), end=True)
        self.settle()
        self.assert_within_budget()
        self.drop_all()
        self.assert_serves()

    def test_all_doors_at_once(self):
        self.node.sql("CREATE TABLE big (a)")
        for _ in range(20):
            self.node.sql("INSERT INTO big VALUES (randomblob(1000000))")
        endless = execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                          "SELECT zeroblob(3900000) FROM n")
        write = execute("UPDATE t SET a = a RETURNING zeroblob(1000000)")
        read = field(1, statement("SELECT zeroblob(3900000)"))
        large = message(execute("INSERT INTO t VALUES (?)", field(2, field(4, b"x" * (8 << 20)))))
        for number in range(16):
            source = f"127.0.0.{2 + number % 8}"
            self.open("Query", source).send(message(endless), end=True)
            self.open("Watch", source).send(message(field(3, 1)), end=True)
            self.open("Backup", source).send(message(b""), end=True)
            session = self.open("Session", source)  # may be refused
            session.send(message(b"".join(
                session_request(2 * i + 1, 3, write) + session_request(2 * i + 2, 4, read) for i in range(100))))
            send_what_is_taken(self.open("Execute", source), large[:-1])
        self.settle()
        self.assert_within_budget()
        self.drop_all()
        self.assert_serves()

    def test_an_idle_node_is_small(self):
        self.assertLess(self.node.memory_mb_max(), 32)

    def settle(self):
        """Waits until the node's memory grows no more."""
        seen = [-1, self.node.memory_mb_max()]
        while seen[-1] != seen[-2]:
            time.sleep(0.5)
            seen.append(self.node.memory_mb_max())


class Forwarded(CairnTest):
    def test_writes_that_a_follower_passes_on_to_a_leader_that_does_not_answer(self):
        nodes = self.new_cluster(3, flags=["--memory-bytes-max", f"{BUDGET_MB}MiB"])
        leader = self.await_leader()
        leader.sql("CREATE TABLE t (a)")
        follower = next(node for node in nodes if node is not leader)
        leader.pause()
        calls = []
        large = message(execute("INSERT INTO t VALUES (?)", field(2, field(4, b"x" * (8 << 20)))))
        for number in range(32):
            call = raw_grpc.Call(follower.port, DATABASE + "Execute", source=f"127.0.0.{2 + number % 8}")
            calls.append(call)
            send_what_is_taken(call, large, end=True)
        self.assertLess(follower.memory_mb_max(), BUDGET_MB + ALLOWANCE_MB)
        leader.resume()
        for call in calls:
            call.drop()
        wait_until(lambda: follower.shell("INSERT INTO t VALUES (1)").returncode == 0, "the cluster serves")
        for node in nodes:
            self.assertTrue(node.up)
            self.assertLess(node.memory_mb_max(), BUDGET_MB + ALLOWANCE_MB)


if __name__ == "__main__":
    harness.main()
