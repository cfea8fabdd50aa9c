"""Prepare, Commit and Rollback of transaction.DatabaseService on real nodes, over kills and restarts.

Each step is repeated.
"""
import harness
import raw_grpc
from harness import CairnTest, wait_until
from raw_grpc import field, unary

SERVICE = "/transaction.DatabaseService/"
NOT_FOUND, ABORTED = 5, 10


class TwoPhase(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3)
        self.await_leader().sql("CREATE TABLE t (a TEXT)")
        self.await_leader().sql("CREATE TABLE free (a)")

    def call(self, node, method, request):
        """Sends the same bytes again while there is no leader, like a client that got no answer."""
        def answered():
            call = unary(node.port, SERVICE + method, request)
            return None if call.status in (raw_grpc.UNAVAILABLE, None) else call
        return wait_until(answered, f"{method} is answered")

    def prepare(self, node, tx_id, sql, *args):
        request = field(1, tx_id) + field(2, sql) + b"".join(field(3, arg) for arg in args)
        return self.call(node, "Prepare", request).status

    def finish(self, node, method, tx_id):
        return self.call(node, method, field(1, tx_id)).status

    def version(self, node, table):
        answer = self.call(node, "GetVersion", field(1, table)).answer[5:]
        return 0 if not answer else raw_grpc.read_varint(answer[1:])

    def test_a_prepared_transaction_survives_everything_and_commits_once(self):
        a, b, c = self.nodes
        before = self.version(a, "t")
        self.assertEqual(self.prepare(b, "tx", "INSERT INTO t VALUES (?1)", "one"), raw_grpc.OK)
        self.assertEqual(self.prepare(c, "tx", "INSERT INTO t VALUES (?1)", "two"), raw_grpc.OK)
        # Others cannot use the tables that the transaction holds; all other tables are free.
        self.assertEqual(self.call(a, "Execute", field(1, "DELETE FROM t")).status, ABORTED)
        self.assertEqual(self.call(a, "Execute", field(1, "INSERT INTO free VALUES (1)")).status,
                         raw_grpc.OK)
        self.await_leader().kill()
        self.await_leader()
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.start()
        self.assertEqual(a.sql("SELECT * FROM t"), [])
        self.assertEqual(self.call(b, "Execute", field(1, "DELETE FROM t")).status, ABORTED)
        for node in (c, a, b):
            self.assertEqual(self.finish(node, "Commit", "tx"), raw_grpc.OK)
        for node in self.nodes:
            self.assertEqual(node.sql("SELECT a FROM t ORDER BY a"), [{"a": "one"}, {"a": "two"}])
            self.assertEqual(self.version(node, "t"), before + 2)
        self.assertEqual(self.finish(a, "Rollback", "tx"), raw_grpc.FAILED_PRECONDITION)
        self.assertEqual(self.prepare(a, "tx", "INSERT INTO t VALUES ('late')"),
                         raw_grpc.FAILED_PRECONDITION)
        self.assertEqual(self.call(a, "Execute", field(1, "DELETE FROM t")).status, raw_grpc.OK)
        self.assert_equal_contents()

    def test_rollback_and_unknown_ids_have_answers(self):
        a, b, _ = self.nodes
        self.assertEqual(self.finish(a, "Commit", "nobody"), NOT_FOUND)
        self.assertEqual(self.prepare(a, "tx", "INSERT INTO t VALUES ('x')"), raw_grpc.OK)
        self.assertEqual(self.finish(b, "Rollback", "tx"), raw_grpc.OK)
        self.assertEqual(self.finish(a, "Rollback", "tx"), raw_grpc.OK)
        self.assertEqual(self.finish(a, "Commit", "tx"), raw_grpc.FAILED_PRECONDITION)
        self.assertEqual(self.prepare(a, "bad", "INSERT INTO nowhere VALUES (1)"),
                         raw_grpc.INVALID_ARGUMENT)
        self.assertEqual(self.prepare(a, "", "INSERT INTO t VALUES (1)"), raw_grpc.INVALID_ARGUMENT)
        self.assertEqual(b.sql("SELECT count(*) AS n FROM t"), [{"n": 0}])

    def test_statements_that_say_their_place_make_a_whole_transaction_or_none(self):
        a, b, c = self.nodes

        def insert(node, tx_id, number):
            request = field(1, tx_id) + field(2, f"INSERT INTO t VALUES ('{number}')") + field(4, number)
            return self.call(node, "Prepare", request).status

        # The transaction is not known: it may have expired.
        self.assertEqual(insert(a, "tx", 2), raw_grpc.FAILED_PRECONDITION)
        self.assertEqual(insert(b, "tx", 1), raw_grpc.OK)
        self.assertEqual(insert(c, "tx", 1), raw_grpc.OK)
        self.assertEqual(self.call(a, "Commit", field(1, "tx") + field(2, 2)).status,
                         raw_grpc.FAILED_PRECONDITION)
        self.assertEqual(insert(a, "tx", 2), raw_grpc.OK)
        self.assertEqual(self.call(b, "Commit", field(1, "tx") + field(2, 2)).status, raw_grpc.OK)
        self.assertEqual(c.sql("SELECT a FROM t ORDER BY a"), [{"a": "1"}, {"a": "2"}])


if __name__ == "__main__":
    harness.main()
