"""A file whose bytes change by themselves: the node finds the damage, is fenced, and rebuilds itself."""
import sqlite3

import harness
from harness import CairnTest, wait_until


class Digest(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3, flags=("--digest-interval-ms", "500"))
        leader = self.await_leader()
        leader.sql("CREATE TABLE ledger (id INTEGER PRIMARY KEY, who TEXT, amount INTEGER)")
        rows = ", ".join(f"({i}, 'the-row-of-{i:04}', {i * 7})" for i in range(500))
        leader.sql(f"INSERT INTO ledger VALUES {rows}")

    def flip_a_byte(self, node):
        """Flips a byte in the file of a stopped node. SQLite finds nothing wrong with the file."""
        with sqlite3.connect(node.db) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.close()
        data = bytearray(node.db.read_bytes())
        # After a page split a row may be there twice, and only one of the two counts.
        rows = (b"the-row-of-%04d" % i for i in range(500))
        text = next(row for row in rows if data.count(row) == 1)
        data[data.index(text)] ^= 1
        node.db.write_bytes(data)
        with sqlite3.connect(node.db) as file:
            self.assertEqual(file.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        file.close()

    def test_a_flipped_byte_in_a_stored_row_is_found_and_the_node_rebuilt(self):
        leader = self.await_leader()
        victim = self.nodes[leader.id % 3]
        victim.sql("SELECT 1")
        self.assertEqual(victim.stop(), 0)
        self.flip_a_byte(victim)
        victim.start()
        wait_until(lambda: (victim.status() or {}).get("fences"), "status says that it was fenced")
        wait_until(lambda: not victim.status()["fenced"] and not victim.status()["trouble"],
                   "it is back in service")
        self.assertIn("table ledger: the rows in the file are not those that were written",
                      victim.log)
        self.assertEqual(victim.status()["scrubs_failed"], 1)
        self.assertEqual(victim.sql("SELECT count(*) AS n FROM ledger WHERE who LIKE 'the-row-of-%'"),
                         [{"n": 500}])
        # From now on the node holds what the others hold.
        leader = self.await_leader()
        leader.sql("UPDATE ledger SET amount = amount + 1")
        at = leader.status()["applied"]
        for node in self.nodes:
            wait_until(lambda n=node: n.status()["digest_right"] >= at, "all are found equal")
            self.assertEqual(node.status()["fences"], 1 if node is victim else 0)
        self.assert_equal_contents()

    def test_what_was_computed_from_a_wrong_row_is_another_digest_than_that_of_the_majority(self):
        leader = self.await_leader()
        victim = self.nodes[leader.id % 3]
        # The running node does not see this change. Its next digests must find it, not its scrub.
        with sqlite3.connect(victim.db, timeout=10) as file:
            file.execute("UPDATE ledger SET amount = 1000000 WHERE id = 5")
        file.close()
        leader.sql("UPDATE ledger SET amount = amount + 1")
        wait_until(lambda: (victim.status() or {}).get("fences"), "it is fenced")
        wait_until(lambda: not victim.status()["fenced"] and not victim.status()["trouble"],
                   "it is back in service")
        self.assertEqual(victim.sql("SELECT amount FROM ledger WHERE id = 5"), [{"amount": 36}])
        self.assert_equal_contents()


if __name__ == "__main__":
    harness.main()
