"""The audit, between real processes: who changed what, who was refused, and what a check finds."""
import json
import re
import time

import harness
from access_test import AccessTest
from harness import run_cairn, wait_until
from raw_grpc import message

HEAD = re.compile(r"\d+:[0-9a-f]{64}")


class AuditTest(AccessTest):
    count = 3

    def audit(self, name, action, *arguments, node=None):
        return run_cairn("audit", action, "--tls-dir", self.client_of(name),
                         (node or self.node).address, *arguments)

    def rows(self, *arguments, node=None):
        return json.loads(self.must(self.audit("admin", "list", "--mode", "json", *arguments,
                                               node=node)))

    def test_changes_are_told_with_who_and_from_where_and_are_the_same_on_all_nodes(self):
        self.grant("alice", "writer")
        self.revoke("alice", "writer")
        self.must(run_cairn("member", "remove", "--tls-dir", self.admin, self.node.address, "3",
                            seconds=60))
        asked = wait_until(lambda: [row for row in self.rows("--asked")
                                    if row["what"] == "asks to remove node 3"], "the question")
        self.assertEqual(asked[0]["principal"], "principal:admin")
        self.assertEqual(asked[0]["address"], "127.0.0.1")
        rows = self.rows()
        security = [row for row in rows if row["kind"] == "security"]
        self.assertEqual([row["what"] for row in security],
                         ["grant writer to 'alice'", "revoke writer from 'alice'"])
        for row in security:
            self.assertEqual((row["principal"], row["address"]), ("principal:admin", "127.0.0.1"))
        self.assertIn("voters 1 2", [row["what"] for row in rows if row["kind"] == "membership"])
        self.assertIn("feature level 3", [row["what"] for row in rows])
        self.assertEqual(self.rows("--since", "1h"), rows)
        self.assertEqual(self.rows("--since", "2100-01-01"), [])
        heads = {HEAD.search(self.must(self.audit("admin", "verify", node=node))).group()
                 for node in self.nodes[:2]}
        self.assertEqual(len(heads), 1)

    def test_only_who_has_security_reads_it_and_nobody_by_sql(self):
        for role in ("operator", "writer", "reader", "monitor"):
            self.grant(f"the-{role}", role)
            self.deny(self.audit(f"the-{role}", "list"), "lacks the privilege security")
            self.deny(self.audit(f"the-{role}", "verify"), "lacks the privilege security")
        for sql in ("SELECT * FROM _cairn_audit", "SELECT hash FROM _cairn_audit_heads",
                    "DELETE FROM _cairn_audit", "UPDATE _cairn_audit_heads SET hash = ''"):
            self.assertNotEqual(self.shell("admin", sql).returncode, 0, sql)
        self.must(self.audit("admin", "verify"))

    def test_old_heads_are_found_in_the_chain(self):
        self.grant("alice", "writer")
        head = HEAD.search(self.must(self.audit("admin", "verify"))).group()
        self.grant("bob", "writer")
        told = self.must(self.audit("admin", "verify", "--anchor", head))
        self.assertIn("anchors found: 1", told)
        log = self.directory / "kept.log"
        log.write_text(f"12:00:00 audit head changes={head}\n")
        self.must(self.audit("admin", "verify", "--anchor", log))
        # The log says of which chain a head is.
        log.write_text(f"12:00:00 audit head denied={head}\n")
        self.deny(self.audit("admin", "verify", "--anchor", log), "denied: ")
        wrong = head[:-1] + ("0" if head[-1] != "0" else "1")
        self.deny(self.audit("admin", "verify", "--anchor", wrong), "has not the hash of the anchor")
        later = "999:" + "a" * 64
        self.deny(self.audit("admin", "verify", "--anchor", later), "rows are missing at the end")
        self.deny(self.audit("admin", "verify", "--anchor", "nonsense"), "no anchor")

    def test_a_long_address_stops_nobody_and_each_question_is_told(self):
        """The note of it was a command that no node could read."""
        leader = self.await_leader()
        for node in (leader, self.nodes[leader.id % 3]):
            run_cairn("member", "add", "--tls-dir", self.admin, node.address, "9",
                      "a" * 300 + ":1", "--timeout-ms", "2000", seconds=60)
            run_cairn("member", "transfer", "--tls-dir", self.admin, node.address, "77",
                      "--timeout-ms", "2000", seconds=60)
        wait_until(lambda: len([row for row in self.rows("--asked")
                                if row["what"].startswith("asks to transfer leadership to node 77")]) == 2,
                   "both questions", seconds=20)
        self.must(self.shell("admin", "CREATE TABLE after_it (a)"))
        for node in self.nodes:
            self.assertEqual(node.status()["trouble"], "")

    def test_a_leader_without_a_majority_stops_while_the_audit_waits(self):
        asked = self.await_leader()
        for node in self.nodes:
            if node is not asked:
                node.pause()
                self.addCleanup(node.resume)
        self.node = asked
        call = self.open_call(self.admin, "/cairn.v1.Cluster/TransferLeadership")
        call.send(message(b""), end=True)
        self.assertTrue(asked.status())  # the call came before this one
        before = time.monotonic()
        asked.stop()
        self.assertLess(time.monotonic() - before, 6.0)


class RefusalsTest(AccessTest):
    """One node, and a minute of waiting."""

    def test_refusals_are_counted_and_written_once_a_minute_and_the_head_is_logged(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        self.grant("eve", "reader")
        before = self.applied()
        for _ in range(50):
            self.deny(self.shell("eve", "INSERT INTO t VALUES (1)"), "lacks the privilege write")
        # A refusal is no write.
        self.assertLess(self.applied() - before, 25)

        def denied():
            rows = json.loads(self.must(run_cairn(
                "audit", "list", "--tls-dir", self.admin, self.node.address, "--denied", "--mode",
                "json")))
            return [row for row in rows if row["principal"] == "principal:eve"]
        rows = wait_until(denied, "the refusals", seconds=90)
        self.assertEqual(sum(row["count"] for row in rows), 50)
        self.assertLessEqual(len(rows), 4)
        self.assertIn("lacks the privilege write", rows[0]["what"])
        self.must(run_cairn("audit", "verify", "--tls-dir", self.admin, self.node.address))
        wait_until(lambda: "audit head changes=" in self.node.log, "the head in the log", seconds=90)

    def applied(self):
        return self.node.status()["applied"]


if __name__ == "__main__":
    harness.main()
