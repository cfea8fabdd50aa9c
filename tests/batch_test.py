"""ExecuteBatch of transaction.DatabaseService on real nodes: a batch takes effect as a whole or not at all, once,
and versions count it alike on every node, over kills of the leader and retries."""
import harness
import raw_grpc
from harness import CairnTest, wait_until
from raw_grpc import field, unary

SERVICE = "/transaction.DatabaseService/"
ALREADY_EXISTS, ABORTED = 6, 10


def statement(sql, *args, exactly=None, at_least=None):
    expect = b""
    if exactly is not None:
        expect = field(3, field(1, exactly))
    if at_least is not None:
        expect = field(3, field(2, at_least))
    return field(1, field(1, sql) + b"".join(field(2, arg) for arg in args) + expect)


class Batch(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3)
        leader = self.await_leader()
        leader.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        leader.sql("INSERT INTO t VALUES (1, 'one')")
        # Each founder makes its database by itself, at level 1; the leader raises the level at once.
        wait_until(lambda: leader.status()["level"] >= 2, "the level has risen")

    def batch(self, node, request_id, *statements):
        def answered():
            call = unary(node.port, SERVICE + "ExecuteBatch", b"".join(statements),
                         extra=[("cairn-request-id", request_id)])
            return None if call.status in (raw_grpc.UNAVAILABLE, None) else call
        return wait_until(answered, "the batch is answered")

    def versions(self):
        """Of the database and the table, as every node gives them; they must be equal."""
        found = []
        for node in self.nodes:
            versions = []
            for table in ("", "t"):
                answer = unary(node.port, SERVICE + "GetVersion", field(1, table)).answer[5:]
                versions.append(raw_grpc.read_varint(answer[1:]) if answer else 0)
            found.append(versions)
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])
        return found[0]

    def restart_leader(self):
        leader = self.await_leader()
        leader.kill()
        self.await_leader()
        leader.start()

    def test_success_counts_each_statement_once_over_failover_and_retry(self):
        before = self.versions()
        changes = (statement("INSERT INTO t VALUES (2, ?1)", "two", exactly=1),
                   statement("UPDATE t SET b = b || '!' WHERE a <= 2", at_least=2),
                   statement("DELETE FROM t WHERE a = 9"))
        first = self.batch(self.nodes[0], "s/1", *changes)
        self.assertEqual(first.status, raw_grpc.OK, first.text)
        # Three results of 1, 2 and 0 rows; a number that is 0 is left out.
        self.assertEqual(bytes(first.answer[5:]), field(1, field(1, 1)) + field(1, field(1, 2)) +
                         field(1, b""))
        self.restart_leader()
        for node in self.nodes:
            again = self.batch(node, "s/1", *changes)
            self.assertEqual((again.status, again.answer), (first.status, first.answer))
        self.assertEqual(self.versions(), [before[0] + 3, before[1] + 3])
        self.assertEqual(self.nodes[1].sql("SELECT b FROM t ORDER BY a"), [{"b": "one!"}, {"b": "two!"}])
        self.assert_equal_contents()

    def test_what_is_rolled_back_counts_nothing_over_failover_and_retry(self):
        before = self.versions()
        bad = (statement("INSERT INTO t VALUES (2, 'two')"), statement("INSERT INTO t VALUES (1, 'again')"))
        missed = (statement("INSERT INTO t VALUES (2, 'two')"),
                  statement("UPDATE t SET b = 'won' WHERE b = 'lost'", exactly=1))
        failed = self.batch(self.nodes[0], "s/1", *bad)
        self.assertEqual(failed.status, ALREADY_EXISTS)
        self.assertIn("statement 2: ", failed.text)
        lost = self.batch(self.nodes[1], "s/2", *missed)
        self.assertEqual(lost.status, ABORTED)
        self.assertIn("statement 2: exactly 1 row had to be changed, and there were 0", lost.text)
        self.restart_leader()
        for node in self.nodes:
            self.assertEqual(self.batch(node, "s/1", *bad).status, ALREADY_EXISTS)
            self.assertEqual(self.batch(node, "s/2", *missed).status, ABORTED)
        self.assertEqual(self.versions(), before)
        self.assertEqual(self.nodes[2].sql("SELECT * FROM t"), [{"a": 1, "b": "one"}])
        self.assert_equal_contents()

    def test_what_is_no_batch_is_refused(self):
        node = self.nodes[0]
        self.assertEqual(self.batch(node, "s/1").status, raw_grpc.INVALID_ARGUMENT)
        read = self.batch(node, "s/1", statement("INSERT INTO t VALUES (2, '')"), statement("SELECT 1"))
        self.assertEqual(read.status, raw_grpc.INVALID_ARGUMENT)
        self.assertIn("statement 2: ", read.text)


if __name__ == "__main__":
    harness.main()
