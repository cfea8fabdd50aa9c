"""The WAL of a real node does not grow without end, whatever runs beside the writes."""
import threading

import harness
from harness import CairnTest, wait_until

MIB = 1 << 20
WRITTEN_MIB = 600
# A long query. Two run a little apart, so one has always begun before the other ends.
QUERY = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
         "SELECT (SELECT count(*) FROM t) AS c, max(i) AS m FROM n")


class WalBound(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]
        self.node.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        self.node.sql("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                      "WHERE i < 380) SELECT i, randomblob(10000) FROM n")

    def wal_mib(self):
        wal = self.node.db.with_name(self.node.db.name + "-wal")
        return wal.stat().st_size / MIB if wal.exists() else 0

    def read_until(self, stop, count, answers):
        while not stop.is_set():
            answers.append(harness.run_cairn("shell", self.node.address, "--timeout-ms", 100000, "-c",
                                             QUERY.format(count=count), seconds=120))

    def test_long_reads_that_overlap_do_not_hold_the_wal_for_ever(self):
        stop, answers, most = threading.Event(), [], 0
        readers = [threading.Thread(target=self.read_until, args=(stop, count, answers))
                   for count in (20_000_000, 23_000_000)]
        for reader in readers:
            reader.start()
        try:
            # Each write rewrites the table of 3.8 MB.
            for _ in range(WRITTEN_MIB * 10 // 38):
                done = self.node.shell("UPDATE t SET body = randomblob(10000)", timeout_ms=60000)
                self.assert_passes(done)
                most = max(most, self.wal_mib())
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        self.assertGreater(len(answers), 1, "the readers read")
        # Past 256 MiB new views wait for 100 ms before the present ones are ended, and a reader ends a
        # moment after it is told to. A fast machine writes some 30 MiB meanwhile.
        self.assertLess(most, 320, f"of {WRITTEN_MIB} MiB that were written")
        for answer in answers:
            if answer.returncode != 0:
                self.assertIn("ABORTED", answer.stderr)
                self.assertIn("write-ahead log", answer.stderr)
        # Without readers the next writes restart the WAL.
        def small():
            self.node.sql("UPDATE t SET body = randomblob(10000)")
            return self.wal_mib() <= 65
        wait_until(small, "the WAL is cut")


if __name__ == "__main__":
    harness.main()
