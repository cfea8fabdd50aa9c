"""Backups of running clusters, and new clusters of backups."""
import contextlib
import os
import pty
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

import harness
from harness import CairnTest, Node, free_ports, run_cairn, wait_until

MIB = 1 << 20


def ask(path, sql):
    """The rows of a query on a file, opened as anybody would."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return file.execute(sql).fetchall()


def dump(path):
    """The clients' data, as SQL."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return [line for line in file.iterdump() if "_cairn_" not in line]


class CuttingLink:
    """A link to a node. The first connections are cut after so many bytes each; later ones stay."""

    def __init__(self, port, cuts):
        self.port = port
        self.cuts = list(cuts)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
                cut = self.cuts.pop(0) if self.cuts else None
                for source, sink, bound in ((near, far, None), (far, near, cut)):
                    threading.Thread(target=self.carry, args=(source, sink, bound), daemon=True).start()

    def carry(self, source, sink, bound):
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                carried += len(data)
                if bound is not None and carried >= bound:
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def close(self):
        self.listener.close()


class BackupTest(CairnTest):
    def setUp(self):
        super().setUp()
        self.file = self.directory / "backups" / "b.db"
        self.file.parent.mkdir()

    def fill(self, node, mib):
        node.sql("CREATE TABLE IF NOT EXISTS big (id INTEGER PRIMARY KEY, data)")
        rows = "".join("INSERT INTO big (data) VALUES (randomblob(1000000));\n" for _ in range(mib))
        done = run_cairn("shell", node.address, stdin=rows, seconds=120)
        self.assertEqual(done.returncode, 0, done.stderr)

    def backup(self, address, *flags, file=None):
        return run_cairn("backup", address, file or self.file, *flags, seconds=120)

    def copies(self, node):
        return sorted(path.name for path in
                      (node.db.parent / (node.db.name + ".cairn") / "snapshot").iterdir())

    def files(self):
        return sorted(path.name for path in self.file.parent.iterdir())


class Backups(BackupTest):
    def test_a_backup_under_load_is_consistent_and_sha256sum_accepts_it(self):
        self.new_cluster(3)
        leader = self.await_leader()
        follower = self.nodes[leader.id % 3]
        self.fill(leader, 20)
        leader.sql("CREATE TABLE pair (id INTEGER PRIMARY KEY, a, b)")
        leader.sql("INSERT INTO pair VALUES (1, 0, 0)")
        writer = subprocess.Popen(
            [harness.CAIRN, "shell", leader.address], stdin=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL)
        self.addCleanup(writer.kill)
        writer.stdin.write("UPDATE pair SET a = a + 1, b = b + 1;\n" * 300)
        writer.stdin.close()
        for node in (follower, leader):
            known = leader.sql("SELECT a FROM pair")[0]["a"]
            self.assert_passes(self.backup(node.address))
            [(a, b)] = ask(self.file, "SELECT a, b FROM pair")
            self.assertEqual(a, b)
            self.assertGreaterEqual(a, known)
            self.assertEqual(ask(self.file, "PRAGMA integrity_check"), [("ok",)])
            self.assertEqual(self.files(), ["b.db", "b.db.sha256"])
            subprocess.run(["sha256sum", "--check", "--status", "b.db.sha256"],
                           cwd=self.file.parent, check=True)
            self.assertEqual(self.copies(node), [])
        self.assertEqual(writer.wait(timeout=60), 0)

    def write_older(self):
        self.file.write_text("older")
        self.file.with_name("b.db.sha256").write_text("its checksum")

    def assert_older_is_left(self):
        self.assertEqual(self.files(), ["b.db", "b.db.sha256"])
        self.assertEqual(self.file.read_text(), "older")
        self.assertEqual(self.file.with_name("b.db.sha256").read_text(), "its checksum")

    def test_a_client_that_is_killed_leaves_no_copy_at_the_node(self):
        [node] = self.new_cluster(1)
        self.fill(node, 8)
        client = subprocess.Popen([harness.CAIRN, "backup", node.address, self.file,
                                   "--bytes-per-second", "65536"])
        self.addCleanup(client.kill)
        wait_until(lambda: self.copies(node) == ["backup-1.db"], "the node makes a copy")
        client.kill()
        client.wait()
        wait_until(lambda: self.copies(node) == [], "the copy is removed")
        self.assertEqual(self.files(), ["b.db.partial"])
        self.assert_passes(self.backup(node.address))  # and takes over what was left
        self.assertEqual(self.files(), ["b.db", "b.db.sha256"])

    def test_a_link_that_breaks_again_and_again_does_not_begin_it_anew(self):
        node = self.new_cluster(1)[0]
        self.fill(node, 24)
        link = CuttingLink(node.port, [5 * MIB, 5 * MIB, 5 * MIB])
        self.addCleanup(link.close)
        done = self.backup(link.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("was cut off after"), 3, done.stderr)
        self.assertEqual(done.stderr.count("it goes on after"), 3, done.stderr)
        self.assertNotIn("anew", done.stderr)
        self.assertEqual(ask(self.file, "PRAGMA integrity_check"), [("ok",)])
        self.assertEqual(subprocess.run(["sha256sum", "-c", "--status", f"{self.file.name}.sha256"],
                                        cwd=self.file.parent, check=False).returncode, 0)
        self.assertEqual(node.log.count("a backup begins"), 1)
        self.assertEqual(node.log.count("a backup goes on"), 3)
        wait_until(lambda: not self.copies(node), "the copy is gone")

    def test_a_node_that_has_ended_meanwhile_begins_anew_and_says_so(self):
        node = self.new_cluster(1)[0]
        self.fill(node, 12)
        slow = subprocess.Popen([harness.CAIRN, "backup", node.address, str(self.file),
                                 "--bytes-per-second", "3MiB"], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        wait_until(lambda: (self.file.parent / "b.db.partial").exists() and
                   (self.file.parent / "b.db.partial").stat().st_size > 2 * MIB, "some has come")
        node.kill()
        node.start()
        out, err = slow.communicate(timeout=60)
        self.assertEqual(slow.returncode, 0, out + err)
        self.assertIn("it begins anew: the node does not hold", err)
        self.assertEqual(ask(self.file, "PRAGMA integrity_check"), [("ok",)])

    def test_a_restore_in_the_middle_begins_it_anew(self):
        node = self.new_cluster(1)[0]
        self.fill(node, 10)
        earlier = self.file.with_name("earlier.db")
        self.assert_passes(self.backup(node.address, file=earlier))
        slow = subprocess.Popen([harness.CAIRN, "backup", node.address, str(self.file),
                                 "--bytes-per-second", "2MiB"], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.addCleanup(slow.kill)
        partial = self.file.with_name("b.db.partial")
        wait_until(lambda: partial.exists() and partial.stat().st_size > MIB, "some has come")
        self.assert_passes(run_cairn("restore", earlier, "--into", node.address, "--yes", seconds=60))
        out, err = slow.communicate(timeout=90)
        self.assertEqual(slow.returncode, 0, out + err)
        self.assertIn("it begins anew", err)
        self.assertEqual(ask(self.file, "SELECT count(*) FROM big"), [(10,)])
        self.assertEqual(ask(self.file, "SELECT restores FROM _cairn_restore"), [(1,)])

    def test_a_client_that_is_interrupted_leaves_nothing(self):
        [node] = self.new_cluster(1)
        self.fill(node, 8)
        self.write_older()
        client = subprocess.Popen([harness.CAIRN, "backup", node.address, self.file,
                                   "--bytes-per-second", "65536"], stderr=subprocess.PIPE)
        self.addCleanup(client.kill)
        wait_until(lambda: self.copies(node) == ["backup-1.db"], "the node makes a copy")
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=harness.BOUND_SECONDS)
        self.assertEqual(client.returncode, 128 + signal.SIGINT)
        self.assert_older_is_left()

    def test_a_node_killed_in_the_middle_leaves_no_copy_and_the_next_node_serves(self):
        self.new_cluster(3)
        leader = self.await_leader()
        first, second = [node for node in self.nodes if node is not leader]
        self.fill(leader, 8)
        first.sql("SELECT 1")
        client = subprocess.Popen(
            [harness.CAIRN, "backup", f"{first.address},{second.address}", self.file,
             "--bytes-per-second", "2MiB"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.kill)
        wait_until(lambda: self.copies(first) == ["backup-1.db"], "the node makes a copy")
        first.kill()
        output = client.communicate(timeout=60)[0].decode()
        self.assertEqual(client.returncode, 0, output)
        self.assertEqual(ask(self.file, "SELECT count(*) FROM big"), [(8,)])
        first.start()
        self.assertEqual(self.copies(first), [])

    def test_a_full_disk_is_said_and_leaves_the_older_file(self):
        [node] = self.new_cluster(1)
        self.fill(node, 8)
        self.write_older()

        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, 3 * MIB))
        done = subprocess.run([harness.CAIRN, "backup", node.address, self.file],
                              capture_output=True, text=True, check=False, preexec_fn=small_files,
                              timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assert_older_is_left()

    def test_a_disk_without_room_is_said_before_it_is_filled(self):
        disk = self.directory / "disk"
        disk.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True,
            check=False).returncode == 0
        if not mounted:
            self.skipTest("needs root, to mount a disk of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        [node] = self.new_cluster(1)
        self.fill(node, 8)
        done = self.backup(node.address, file=disk / "b.db")
        self.assertEqual(done.returncode, 1)
        self.assertIn("are free in", done.stderr)
        self.assertEqual(list(disk.iterdir()), [])

    def test_backups_are_made_again_and_again_and_the_latest_are_kept(self):
        [node] = self.new_cluster(1)
        node.sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        directory = self.file.parent
        (directory / "cairn-mine.db").write_text("not one of them")
        (directory / "cairn-20200101T000000Z.db.partial").write_text("of a backup that was killed")
        for flags in (["--every", "1s"], ["--keep", "2"]):
            self.assertEqual(self.backup(node.address, *flags).returncode, 2)
        client = subprocess.Popen([harness.CAIRN, "backup", node.address, directory,
                                   "--every", "1s", "--keep", "2"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.kill)
        made = [client.stdout.readline().split(": ")[0].split("/")[-1] for _ in range(4)]
        self.assertEqual(made, sorted(set(made)))

        def latest_two():
            names = [name for name in self.files() if name.endswith(".db")]
            return len(names) == 3 and "cairn-mine.db" in names and made[0] not in names
        wait_until(latest_two, "the latest two are kept")
        node.kill()
        self.assertIn("UNAVAILABLE", client.stderr.readline())
        self.assertTrue(latest_two(), "a failure removes nothing")
        client.terminate()
        client.communicate(timeout=harness.BOUND_SECONDS)
        self.assertEqual(client.returncode, 0)

        # Once, from the next address, into the directory; a restart of the other waits its time.
        node.start()
        down = f"127.0.0.1:{free_ports(1)}"
        done = self.backup(f"{down},{node.address}", "--keep", "1", file=directory)
        self.assert_passes(done)
        name = done.stdout.split(": ")[0].split("/")[-1]
        self.assertEqual(self.files(), [name, name + ".sha256", "cairn-mine.db"])
        waits = subprocess.Popen([harness.CAIRN, "backup", node.address, directory,
                                  "--every", "1d", "--keep", "1"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(waits.kill)
        self.assertIn("the next one is made in", waits.stdout.readline())
        waits.terminate()
        waits.communicate(timeout=harness.BOUND_SECONDS)
        self.assertEqual(waits.returncode, 0)
        self.assertEqual(self.files(), [name, name + ".sha256", "cairn-mine.db"])

    def test_without_a_majority_a_stale_backup_saves_what_a_node_holds(self):
        self.new_cluster(3)
        self.nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        self.nodes[2].sql("SELECT * FROM t")
        self.nodes[0].kill()
        self.nodes[1].kill()
        self.assert_passes(self.backup(self.nodes[2].address, "--stale"))
        self.assertEqual(ask(self.file, "SELECT count(*) FROM t"), [(0,)])


class Restores(BackupTest):
    def restore(self, name="new.db", *flags, backup=None):
        return run_cairn("restore", backup or self.file, self.directory / name, *flags, seconds=60)

    def start_restored(self, name="new.db", node_id=1):
        """A server on the restored data."""
        node = Node(node_id, free_ports(1), self.directory)
        node.db = self.directory / name
        node.log_path = self.directory / f"{name}.log"
        self.nodes.append(node)
        node.start()
        wait_until(node.leads, "the restored node leads")
        return node

    def refused(self, done, text):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(text, done.stderr)
        self.assertEqual([path.name for path in self.directory.glob("new.db*")], [])

    def test_a_new_cluster_has_the_rows_and_goes_on_and_grows(self):
        old = self.new_cluster(3)
        leader = self.await_leader()
        leader.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        leader.sql("CREATE TABLE dropped (id)")
        leader.sql("DROP TABLE dropped")
        self.start_load(4000)
        follower = old[leader.id % 3]
        self.assert_passes(self.backup(follower.address))
        index = ask(self.file, "SELECT applied_index FROM _cairn_state")[0][0]
        versions = dict(ask(self.file, "SELECT name, version FROM _cairn_versions"))
        rows = dump(self.file)
        # The old cluster goes on, and ends for good.
        leader.sql("INSERT INTO t VALUES (1, 'lost')")
        self.check_load()
        old_cluster = leader.shell(".status").stdout
        for node in old:
            node.kill()
        self.nodes = []

        done = self.restore()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("restore count 1", done.stdout)
        new = self.start_restored()
        self.assertEqual(new.sql("SELECT * FROM t"), [])
        self.assertGreater(new.status()["applied"], 2 ** 40)
        self.assertLess(index, 2 ** 40)
        self.assertNotIn(f'"cluster":"{new.status().get("cluster")}"', old_cluster)
        new.sql("INSERT INTO t VALUES (2, 'new')")
        new.sql("CREATE TABLE dropped (id)")

        # An empty node learns all of it.
        second = Node(2, free_ports(1), self.directory, f"1={new.address}")
        second.peers = f"1={new.address},2={second.address}"
        second.db = self.directory / "second.db"
        second.log_path = self.directory / "second.log"
        self.nodes.append(second)
        second.start()
        done = run_cairn("member", "add", new.address, 2, second.address, seconds=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(second.sql("SELECT v FROM t"), [{"v": "new"}])
        second.sql("DELETE FROM t")
        self.assert_equal_contents()

        after = dict(ask(new.db, "SELECT name, version FROM _cairn_versions"))
        for name, version in versions.items():
            self.assertGreaterEqual(after[name], version + 2 ** 32, name)
        self.assertGreater(after["dropped"], 2 ** 32)
        self.assertEqual([line for line in dump(new.db) if "dropped" not in line], rows)

        # And again: the count rises.
        new.start()
        second.start()
        wait_until(lambda: new.leads() or second.leads(), "a leader")
        again = self.directory / "again.db"
        self.assert_passes(self.backup(second.address, file=again))
        done = self.restore("new2.db", "--id", "7", backup=again)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("restore count 2", done.stdout)

    def test_positions_and_requests_of_before_are_refused(self):
        [old] = self.new_cluster(1)
        old.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        self.assert_passes(self.backup(old.address))
        for i in range(5):
            old.sql(f"INSERT INTO t VALUES ({i}, 'after the backup')")
        applied = old.status()["applied"]
        old.kill()
        self.assertEqual(self.restore().returncode, 0)
        new = self.start_restored()
        for position in (1, applied, applied + 10):
            done = subprocess.run([harness.CAIRN, "watch", new.address, "--from",
                                   str(position)], capture_output=True, text=True, check=False,
                                  timeout=harness.BOUND_SECONDS)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("OUT_OF_RANGE", done.stderr)

    def test_what_is_no_backup_is_refused_and_leaves_nothing(self):
        [node] = self.new_cluster(1)
        node.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        node.sql("INSERT INTO t VALUES (1, 'one')")
        self.assert_passes(self.backup(node.address))
        good = self.file.read_bytes()
        checksum = self.file.with_name("b.db.sha256")
        self.assertEqual(run_cairn("restore", self.file, "--check").returncode, 0)

        def changed(at, to):
            self.file.write_bytes(good[:at] + to + good[at + len(to):])
        changed(len(good) - 50, b"x")
        self.refused(self.restore(), "is not the file that was backed up")
        self.file.write_bytes(good[:-4096])
        self.refused(self.restore(), "is not the file that was backed up")
        self.refused(self.restore("new.db", "--without-checksum"), "was cut off")
        # A value that changed, in a file that SQLite finds sound.
        changed(good.index(b"one"), b"two")
        self.refused(self.restore("new.db", "--without-checksum"), "DATA_LOSS")
        self.file.write_bytes(b"garbage" * 1000)
        self.refused(self.restore("new.db", "--without-checksum"), "not a SQLite database")
        self.file.write_bytes(b"")
        self.refused(self.restore("new.db", "--without-checksum"), "empty")
        self.file.unlink()
        with contextlib.closing(sqlite3.connect(self.file)) as other:
            other.execute("CREATE TABLE t (id)")
        self.refused(self.restore("new.db", "--without-checksum"), "Cairn did not make")
        for column, text in (("level", "feature level 99"), ("format", "format 99")):
            self.file.write_bytes(good)
            with contextlib.closing(sqlite3.connect(self.file)) as newer:
                newer.execute(f"UPDATE _cairn_state SET {column} = 99")
                newer.commit()
            self.refused(self.restore("new.db", "--without-checksum"), text)
        self.file.write_bytes(good)
        checksum.write_text("nothing\n")
        self.refused(self.restore(), "holds no SHA-256")
        checksum.unlink()
        self.refused(self.restore(), "does not exist")
        self.file.chmod(0o400)
        self.assertEqual(self.restore("new.db", "--without-checksum").returncode, 0)
        done = self.restore("new.db", "--without-checksum")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is there already", done.stderr)
        self.assertEqual(ask(self.directory / "new.db", "SELECT v FROM t"), [("one",)])


class RestoresIntoARunningCluster(BackupTest):
    def restore(self, *flags, nodes=None, stdin=""):
        addresses = ",".join(node.address for node in nodes or self.nodes)
        return run_cairn("restore", self.file, "--into", addresses, *flags, stdin=stdin,
                         seconds=120)

    def new_cluster_with_backup(self, count, mib=0):
        """The backup has the row 1, and the cluster has gone on."""
        self.new_cluster(count)
        leader = self.await_leader()
        leader.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        leader.sql("INSERT INTO t VALUES (1, 'of the backup')")
        if mib:
            self.fill(leader, mib)
        self.assert_passes(self.backup(leader.address))
        leader.sql("INSERT INTO t VALUES (2, 'lost')")
        leader.sql("DELETE FROM t WHERE id = 1")
        leader.sql("CREATE TABLE later (id)")
        return leader

    def assert_restored_everywhere(self, rows):
        """All nodes hold these rows, and the same sums and versions. Stops the nodes."""
        self.assertEqual(self.nodes[0].sql("SELECT id, v FROM t ORDER BY id"), rows)
        self.assert_equal_contents()
        for table in ("_cairn_digest", "_cairn_versions", "_cairn_restore"):
            held = [ask(node.db, f"SELECT * FROM {table}") for node in self.nodes]
            self.assertNotEqual(held[0], [])
            for other in held[1:]:
                self.assertEqual(other, held[0], table)

    def test_every_node_holds_the_backup_and_a_node_that_was_down_too(self):
        leader = self.new_cluster_with_backup(3, mib=4)
        follower, down = [node for node in self.nodes if node is not leader]
        versions = dict(ask(self.file, "SELECT name, version FROM _cairn_versions"))
        applied = leader.status()["applied"]
        seen = self.directory / "seen"
        with open(seen, "wb") as out:
            watch = subprocess.Popen(
                [harness.CAIRN, "watch", f"{leader.address},{follower.address}"], text=True,
                stdout=out, stderr=subprocess.PIPE)
        self.addCleanup(watch.kill)

        def told():
            leader.sql("REPLACE INTO t VALUES (3, 'told')")
            return "told" in seen.read_text()
        wait_until(told, "the watch tells of a write")
        down.kill()
        done = self.restore("--yes", nodes=[follower, leader])
        self.assert_passes(done)
        self.assertIn("restore count 1", done.stdout)
        errors = watch.communicate(timeout=harness.BOUND_SECONDS)[1]
        self.assertEqual(watch.returncode, 1)
        self.assertIn("restored from a backup", errors)
        done = run_cairn("watch", follower.address, "--from", str(applied + 1))
        self.assertIn("OUT_OF_RANGE", done.stderr)
        for node in (leader, follower):
            self.assertEqual(node.sql("SELECT id, v FROM t"), [{"id": 1, "v": "of the backup"}])
        leader.sql("INSERT INTO t VALUES (4, 'after')")
        down.start()
        rows = [{"id": 1, "v": "of the backup"}, {"id": 4, "v": "after"}]
        self.assertEqual(down.sql("SELECT id, v FROM t ORDER BY id"), rows)
        self.assert_restored_everywhere(rows)
        after = dict(ask(leader.db, "SELECT name, version FROM _cairn_versions"))
        for name, version in versions.items():
            self.assertGreater(after[name], version, name)
        self.assertEqual(ask(leader.db, "SELECT restores FROM _cairn_restore"), [(1,)])

    def test_a_node_that_needs_a_snapshot_gets_the_restored_database(self):
        leader = self.new_cluster_with_backup(3)
        down = next(node for node in self.nodes if node is not leader)
        down.kill()
        others = [node for node in self.nodes if node is not down]
        self.assert_passes(self.restore("--yes", nodes=others))
        shutil.rmtree(f"{down.db}.cairn")
        for suffix in ("", "-wal", "-shm"):
            down.db.with_name(down.db.name + suffix).unlink(missing_ok=True)
        down.start()
        self.await_leader()
        wait_until(lambda: down.shell("SELECT v FROM t").returncode == 0, "the node is let in",
                   seconds=60)
        self.assert_restored_everywhere([{"id": 1, "v": "of the backup"}])

    def test_the_leader_may_end_while_the_backup_comes(self):
        leader = self.new_cluster_with_backup(3, mib=8)
        client = subprocess.Popen(
            [harness.CAIRN, "restore", self.file, "--into",
             ",".join(node.address for node in self.nodes), "--yes",
             "--bytes-per-second", "2MiB"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.kill)
        before = leader.status()["applied"]
        wait_until(lambda: (leader.status() or {}).get("applied", 0) > before + 5, "pieces come")
        leader.kill()
        output = client.communicate(timeout=120)[0]
        self.assertEqual(client.returncode, 0, output)
        leader.start()
        self.assert_restored_everywhere([{"id": 1, "v": "of the backup"}])

    def test_one_whose_client_was_killed_is_given_up_by_its_name(self):
        leader = self.new_cluster_with_backup(1, mib=8)
        client = subprocess.Popen(
            [harness.CAIRN, "restore", self.file, "--into", leader.address, "--yes",
             "--bytes-per-second", "1MiB"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(client.kill)
        before = leader.status()["applied"]
        wait_until(lambda: leader.status()["applied"] > before + 3, "pieces come")
        client.kill()
        client.wait()
        refused = self.restore("--yes")
        self.assertEqual(refused.returncode, 1)
        name = re.search(r"another restore is under way: (\S+)\.", refused.stderr).group(1)
        self.assertRegex(refused.stderr, r"It sent something \d+ s ago")
        self.assert_passes(run_cairn("restore", "--into", leader.address, "--abort", name))
        again = run_cairn("restore", "--into", leader.address, "--abort", name)
        self.assertEqual(again.returncode, 1)
        self.assertIn("no restore of this name is under way", again.stderr)
        self.assert_passes(self.restore("--yes"))
        self.assertEqual(leader.sql("SELECT v FROM t"), [{"v": "of the backup"}])
        usage = run_cairn("restore", self.file, "--into", leader.address, "--abort", name)
        self.assertEqual(usage.returncode, 2, usage.stderr)

    def test_one_that_is_interrupted_changes_nothing_and_makes_way(self):
        leader = self.new_cluster_with_backup(1, mib=8)
        client = subprocess.Popen(
            [harness.CAIRN, "restore", self.file, "--into", leader.address, "--yes",
             "--bytes-per-second", "1MiB"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(client.kill)
        before = leader.status()["applied"]
        wait_until(lambda: leader.status()["applied"] > before + 3, "pieces come")
        second = self.restore("--yes")
        self.assertEqual(second.returncode, 1)
        self.assertIn("another restore is under way", second.stderr)
        client.send_signal(signal.SIGINT)
        errors = client.communicate(timeout=harness.BOUND_SECONDS)[1]
        self.assertEqual(client.returncode, 128 + signal.SIGINT, errors)
        self.assertIn("nothing was restored", errors)
        self.assertEqual(leader.sql("SELECT v FROM t"), [{"v": "lost"}])
        self.assert_passes(self.restore("--yes"))
        self.assertEqual(leader.sql("SELECT v FROM t"), [{"v": "of the backup"}])
        done = run_cairn("restore", self.file, "--into", leader.address, "--yes", "--finish",
                         "restore-unknown")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no restore of this name is under way", done.stderr)

    def test_a_person_is_asked(self):
        leader = self.new_cluster_with_backup(1)
        for answer, code, rows in (("yes", 2, "lost"), ("restore", 0, "of the backup")):
            master, slave = pty.openpty()
            client = subprocess.Popen(
                [harness.CAIRN, "restore", self.file, "--into", leader.address], text=True,
                stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(client.kill)
            os.close(slave)
            os.write(master, f"{answer}\n".encode())
            output, errors = client.communicate(timeout=harness.BOUND_SECONDS)
            os.close(master)
            self.assertEqual(client.returncode, code, errors)
            self.assertIn("Type 'restore' to go on", output)
            self.assertEqual(leader.sql("SELECT v FROM t"), [{"v": rows}])

    def test_a_node_without_room_says_so_before_anything_is_sent(self):
        disk = self.directory / "disk"
        disk.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", disk], capture_output=True,
            check=False).returncode == 0
        if not mounted:
            self.skipTest("needs root, to mount a disk of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        [node] = self.new_cluster(1, start=False)
        node.db = disk / "node.db"
        node.start()
        self.await_leader()
        self.fill(node, 30)
        self.assert_passes(self.backup(node.address))
        done = self.restore("--yes")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("are free here", done.stderr)
        self.assertIn("nothing was restored", done.stderr)
        self.assertEqual(node.sql("SELECT count(*) AS n FROM big"), [{"n": 30}])

    def test_what_is_wrong_is_said_before_anything_is_changed(self):
        leader = self.new_cluster_with_backup(1)

        def refused(text, *flags, code=1):
            done = self.restore(*flags)
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertIn(text, done.stderr)
        refused("give --yes", code=2)
        good = self.file.read_bytes()
        self.file.write_bytes(good[:-100] + b"x" * 100)
        refused("is not the file that was backed up", "--yes")
        self.file.write_bytes(good)
        self.file.with_name("b.db.sha256").unlink()
        refused("does not exist", "--yes")
        done = run_cairn("restore", self.file, self.directory / "new.db", "--into", leader.address)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(leader.sql("SELECT v FROM t"), [{"v": "lost"}])
        self.assert_passes(self.restore("--yes", "--without-checksum"))


if __name__ == "__main__":
    harness.main()
