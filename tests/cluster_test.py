"""`cairn dev`, `cairn member`, and the nodes that `cairn client` finds, while clusters change."""
import os
import signal
import socket
import subprocess
import time

import harness
from harness import CAIRN, CairnTest, Node, free_ports, run_cairn, wait_until


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Dev(CairnTest):
    def start_dev(self, base=None):
        self.base = base or free_ports(3)
        self.output_path = self.directory / "dev.out"
        with open(self.output_path, "wb") as output:
            self.dev = subprocess.Popen(
                [CAIRN, "dev", "--nodes", "3", "--dir", self.directory / "data", "--base-port",
                 str(self.base)], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.addCleanup(self.dev.kill)
        wait_until(lambda: "ready" in self.output() or self.dev.poll() is not None, "dev is ready")
        self.assertIn("ready", self.output())
        children = f"/proc/{self.dev.pid}/task/{self.dev.pid}/children"
        with open(children, encoding="ascii") as listed:
            self.children = [int(pid) for pid in listed.read().split()]
        self.assertEqual(len(self.children), 3)

    def output(self):
        return self.output_path.read_text()

    def await_children_gone(self):
        wait_until(lambda: not any(alive(pid) for pid in self.children), "the nodes end")

    def test_it_serves_and_stops_cleanly(self):
        self.start_dev()
        self.assertIn(f"cairn shell 127.0.0.1:{self.base}", self.output())
        done = run_cairn("shell", f"127.0.0.1:{self.base + 2}", "-c", "CREATE TABLE t (a)")
        self.assert_passes(done)
        self.dev.send_signal(signal.SIGINT)
        self.assertEqual(self.dev.wait(timeout=harness.BOUND_SECONDS), 0, self.output())
        self.await_children_gone()
        for node in (1, 2, 3):
            self.assertIn("stopped", (self.directory / "data" / f"node{node}.log").read_text())

    def test_the_nodes_have_names_and_their_pids_are_printed(self):
        self.start_dev()
        for node, pid in enumerate(self.children, 1):
            self.assertIn(f" at 127.0.0.1:{self.base + node - 1}, pid {pid}, log ", self.output())
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
                self.assertTrue(line.read().startswith(f"cairn\0server\0--id\0{node}\0"))
            with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
                self.assertEqual(name.read(), "cairn\n")

    def test_a_directory_that_holds_more_nodes_than_asked_for_is_told(self):
        self.start_dev()
        self.assertNotIn("note:", self.output())
        self.dev.send_signal(signal.SIGINT)
        self.assertEqual(self.dev.wait(timeout=harness.BOUND_SECONDS), 0, self.output())
        with subprocess.Popen([CAIRN, "dev", "--nodes", "2", "--dir", self.directory / "data",
                               "--base-port", str(self.base)], stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL) as dev:
            told = dev.stdout.readline()
            dev.send_signal(signal.SIGINT)
            dev.wait(timeout=harness.BOUND_SECONDS)
        self.assertIn("also holds the data of node 3, which --nodes 2 does not start", told)
        self.assertIn("--nodes 3 starts all", told)

    def test_a_node_that_ends_is_reported_and_not_restarted(self):
        self.start_dev()
        os.kill(self.children[1], signal.SIGKILL)
        wait_until(lambda: "was killed by signal 9" in self.output(), "the report")
        run_cairn("shell", f"127.0.0.1:{self.base}", "-c", "CREATE TABLE t (a)")
        self.assertFalse(alive(self.children[1]))
        self.dev.send_signal(signal.SIGTERM)
        self.assertEqual(self.dev.wait(timeout=harness.BOUND_SECONDS), 0, self.output())
        self.await_children_gone()

    def test_a_node_that_cannot_start_ends_it_at_once_with_the_reason(self):
        (self.directory / "data").mkdir()
        (self.directory / "data" / "node2.db").write_text("no database")
        begun = time.monotonic()
        done = run_cairn("dev", "--dir", self.directory / "data", "--base-port", free_ports(3))
        self.assertLess(time.monotonic() - begun, 15)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("node2.db is not a SQLite file", done.stdout)
        self.assertIn("error: node 2 did not start", done.stdout)

    def test_a_busy_port_is_found_before_anything_is_started(self):
        base = free_ports(3)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", base + 1))
            taken.listen()
            done = run_cairn("dev", "--dir", self.directory / "data", "--base-port", base)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(f"error: node 2: cannot listen on 127.0.0.1:{base + 1}: Address already in use",
                      done.stdout)
        self.assertFalse((self.directory / "data").exists())

    def test_a_directory_made_with_other_ports_moves_to_those_that_are_asked_for(self):
        self.start_dev()
        done = run_cairn("shell", f"127.0.0.1:{self.base}", "-c", "CREATE TABLE t (a)")
        self.assert_passes(done)
        self.dev.send_signal(signal.SIGINT)
        self.assertEqual(self.dev.wait(timeout=harness.BOUND_SECONDS), 0, self.output())
        self.start_dev(free_ports(3))
        done = run_cairn("shell", f"127.0.0.1:{self.base + 1}", "-c", "INSERT INTO t VALUES (1)")
        self.assert_passes(done)

    def test_nodes_do_not_outlive_it(self):
        self.start_dev()
        self.dev.kill()
        self.dev.wait()
        self.await_children_gone()


class Interrupts(CairnTest):
    def test_a_change_of_membership_that_was_not_sent_says_so(self):
        node = self.new_cluster(1)[0]
        node.pause()
        self.addCleanup(node.resume)
        with subprocess.Popen([CAIRN, "member", "remove", node.address, "1"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as member:
            self.addCleanup(member.kill)
            wait_until(lambda: node.unread_bytes() > 0, "it connects")
            member.send_signal(signal.SIGINT)
            told = member.stderr.read()
            self.assertEqual(member.wait(timeout=harness.BOUND_SECONDS), 130)
        self.assertIn("interrupted before the request was sent (not applied", told)


class OtherNodes(CairnTest):
    def test_the_master_names_the_nodes_that_are_not_listed(self):
        nodes = self.new_cluster(3)
        done = run_cairn("client", "--master-addr", "http://" + nodes[1].address)
        self.assert_passes(done)
        for node in nodes:
            self.assertIn(node.address, done.stdout)

    def test_a_master_that_cannot_be_asked_is_named(self):
        port = free_ports(1)
        done = run_cairn("client", "--master-addr", f"127.0.0.1:{port}")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"error: cannot ask 127.0.0.1:{port} for the other nodes", done.stderr)
        self.assertIn("--slave-addrs", done.stderr)


class Membership(CairnTest):
    def test_list_shows_every_node(self):
        nodes = self.new_cluster(3)
        nodes[2].kill()
        self.await_leader()
        done = run_cairn("member", "list", nodes[0].address, "--mode", "csv")
        self.assert_passes(done)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 4, done.stdout)
        self.assertEqual(sum(",leader," in line for line in lines), 1, done.stdout)
        self.assertIn("unreachable", lines[3])
        self.assertIn("cannot connect to", lines[3])
        self.assertNotIn("all addresses", lines[3], "the words of gRPC")
        down = nodes[2].shell(".status")
        self.assertIn("cannot connect to", down.stderr)
        self.assertNotIn("all addresses", down.stderr)

    def test_leadership_is_transferred(self):
        nodes = self.new_cluster(3)
        leader = self.await_leader()
        heir = nodes[leader.id % 3]
        done = run_cairn("member", "transfer", nodes[0].address, heir.id)
        self.assert_passes(done)
        wait_until(heir.leads, "the heir leads")

    def test_a_node_is_added_and_removed(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (a)")
        nodes[0].sql("INSERT INTO t VALUES (1)")
        port = free_ports(1)
        peers = ",".join(f"{node.id}={node.address}" for node in nodes) + f",4=127.0.0.1:{port}"
        fourth = Node(4, port, self.directory, peers).start()
        self.nodes.append(fourth)
        done = run_cairn("member", "add", nodes[1].address, 4, fourth.address, seconds=70)
        self.assert_passes(done)
        self.assertEqual(fourth.sql("SELECT a FROM t"), [{"a": 1}])
        done = run_cairn("member", "remove", nodes[1].address, 4, seconds=70)
        self.assert_passes(done)
        listed = run_cairn("member", "list", nodes[0].address, "--mode", "csv").stdout
        self.assertEqual(len(listed.splitlines()), 4, listed)
        nodes[0].sql("INSERT INTO t VALUES (2)")

    def test_a_leader_hands_over_before_it_is_removed(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (a)")
        gone = []
        for asked_itself in (True, False):
            leader = self.await_leader()
            rest = [node for node in nodes if node is not leader and node not in gone]
            asked = leader if asked_itself else rest[0]
            done = run_cairn("member", "remove", asked.address, leader.id, seconds=70)
            self.assert_passes(done)
            self.assertIn(f"node {leader.id} hands leadership over", done.stdout)
            gone.append(leader)
            leader.kill()  # the operator may do so after the removal
            rest[0].sql("INSERT INTO t VALUES (1)")
            listed = run_cairn("member", "list", rest[0].address, "--mode", "csv").stdout
            self.assertEqual(len(listed.splitlines()), 1 + len(rest), listed)
        again = run_cairn("member", "remove", rest[0].address, gone[0].id)
        self.assertIn("is not a member", again.stderr)

    def test_a_node_is_replaced_at_another_address_and_its_old_self_disturbs_nobody(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (a)")
        old = nodes[self.await_leader().id % 3]
        old.kill()
        leader = self.await_leader()
        elsewhere = self.directory / "elsewhere"
        elsewhere.mkdir()
        port = free_ports(1)
        peers = ",".join(f"{node.id}={node.address}" for node in nodes if node is not old)
        new = Node(old.id, port, elsewhere, f"{peers},{old.id}=127.0.0.1:{port}").start()
        self.nodes.append(new)

        def replaced():
            done = run_cairn("member", "replace", leader.address, new.id, new.address, seconds=70)
            if "is alive" in done.stderr:
                return False  # the leader takes it for alive for two election timeouts
            self.assert_passes(done)
            return True
        wait_until(replaced, "the node is replaced")
        # The machine that was considered lost comes back with all its data.
        old.start()
        rounds = 0

        def undisturbed():
            # A stall of the machine may depose a leader once; a node that disturbs does so every time.
            nonlocal rounds
            rounds += 1
            term = new.status()["term"]
            for i in range(20):
                nodes[i % 3 if nodes[i % 3] is not old else i % 3 - 1].sql(f"INSERT INTO t VALUES ({i})")
            self.assertEqual(new.sql("SELECT count(*) AS n FROM t"), [{"n": 20 * rounds}])
            return new.status()["term"] == term
        wait_until(undisturbed, "writes pass without an election")
        self.assertNotEqual(old.shell("INSERT INTO t VALUES (99)", timeout_ms=1000).returncode, 0)
        # The node finds out, reports it with advice, and campaigns no more.
        wait_until(lambda: "was replaced by member" in old.status()["trouble"], "it is told")
        self.assertIn("cairn member replace", old.status()["trouble"])
        wait_until(lambda: old.status()["role"] == "follower", "it is quiet")
        self.assertLess(old.log.count("pre-candidate"), 4)

    def test_a_change_that_would_lose_the_quorum_is_refused(self):
        nodes = self.new_cluster(3)
        leader = self.await_leader()
        dead = nodes[leader.id % 3]
        alive_one = nodes[(leader.id + 1) % 3]
        dead.kill()
        done = run_cairn("member", "remove", leader.address, alive_one.id, "--timeout-ms", 3000)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("majority", done.stderr)
        leader.sql("CREATE TABLE still_works (a)")


if __name__ == "__main__":
    harness.main()
