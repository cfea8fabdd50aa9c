"""Approximate search of vectors: the nodes keep their graphs over a restart, and no read misses a write."""
import pathlib

from harness import CairnTest, main, wait_until

ROWS = 21000
READY = "is searched by a graph"
# A vector of eight numbers, spread by the number of the row.
VECTOR = ("vector32('[' || (i * 7919 % 1009) || ',' || (i * 104729 % 2003) || ',' || (i * 31 % 997) || ',' ||"
          " (i * 17 % 499) || ',' || (i * 13 % 251) || ',' || (i * 11 % 127) || ',' || (i % 61) || ',' || (i % 31) || ']')")


class Vectors(CairnTest):
    def nearest(self, node, vector, k=5):
        rows = node.sql(f"SELECT id FROM vector_top_k('near', '{vector}', {k})")
        return [row["id"] for row in rows]

    def in_order(self, node, vector, k=5):
        rows = node.sql(f"SELECT id FROM t ORDER BY vector_distance_l2(v, '{vector}'), id LIMIT {k}")
        return [row["id"] for row in rows]

    def test_graphs_come_back_and_see_all_writes(self):
        self.new_cluster(3)
        leader = self.await_leader()
        leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v F32_BLOB(8))")
        leader.sql("CREATE INDEX near ON t(libsql_vector_idx(v, 'metric=l2'))")
        for start in range(0, ROWS, 3000):
            leader.sql(f"INSERT INTO t WITH RECURSIVE n(i) AS (SELECT {start + 1} UNION ALL SELECT i + 1 FROM n "
                       f"WHERE i < {start + 3000}) SELECT i, {VECTOR} FROM n")
        for node in self.nodes:
            wait_until(lambda n=node: READY in n.log, "the graph is made")
        query = "[500,1000,500,250,125,64,30,15]"
        true = self.in_order(leader, query)
        for node in self.nodes:
            self.assertEqual(self.nearest(node, query), true)

        # A write is seen by the next read, at each node.
        leader.sql(f"INSERT INTO t VALUES (100000, vector32('{query}'))")
        for node in self.nodes:
            self.assertEqual(self.nearest(node, query), [100000] + true[:4])
        leader.sql(f"DELETE FROM t WHERE id = {true[0]}")
        for node in self.nodes:
            self.assertEqual(self.nearest(node, query), [100000] + true[1:5])

        # One node stops, one is killed; both serve the search at once, and with a graph again.
        followers = [node for node in self.nodes if node is not leader]
        followers[0].stop()
        self.assertTrue(list(pathlib.Path(f"{followers[0].db}.cairn/vectors").glob("*.graph")))
        followers[1].kill()
        for node in followers:
            node.start()
            self.assertEqual(self.nearest(node, query), [100000] + true[1:5])
        for node in followers:
            wait_until(lambda n=node: n.log.count(READY) > 1, "the graph is there again")
            self.assertEqual(self.nearest(node, query), [100000] + true[1:5])
        leader = self.await_leader()
        leader.sql("DELETE FROM t WHERE id = 100000")
        for node in self.nodes:
            self.assertEqual(self.nearest(node, query), self.in_order(node, query))
        leader.sql("DROP INDEX near")  # a stock SQLite does not know its function
        self.assert_equal_contents()


if __name__ == "__main__":
    main()
