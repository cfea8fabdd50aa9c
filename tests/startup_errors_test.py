"""Wrong flags, files and data: each gives a clear error and a non-zero exit, and changes nothing."""
import hashlib
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess

import harness
from harness import CAIRN, CairnTest, Node, free_ports, run_cairn


def snapshot(directory):
    """Every file below, with a hash of its content. The lock is not data: it names its last
    holder. SQLite's index of the WAL is not data either: each open makes it anew."""
    return {str(path.relative_to(directory)):
            "" if path.name.endswith("-shm") else hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "LOCK"}


class StartupErrors(CairnTest):
    def refuse(self, want, *flags):
        """Asserts that `cairn server` with these flags ends at once, prints `want`, and changes no file."""
        before = snapshot(self.directory)
        done = run_cairn("server", *flags, seconds=10)
        self.assertNotEqual(done.returncode, 0, f"{flags} was accepted")
        self.assertGreater(done.returncode, 0, f"{flags}: ended by a signal; {done.stderr}")
        self.assertIn(want.lower(), (done.stderr + done.stdout).lower(), f"{flags}")
        self.assertEqual(snapshot(self.directory), before, f"{flags} touched files")

    def test_flags(self):
        db = self.directory / "a.db"
        port = free_ports(1)
        config = self.directory / "bad.toml"
        config.write_text("port = 5000\nprot = 6000\n")
        table = [
            ("rocksdb", ["--engine", "rocksdb", "--port", port]),
            ("--port", ["--port", "0"]),
            ("--port", ["--port", "99999"]),
            ("--peers", ["--port", port, "--peers", "nonsense"]),
            ("--peers", ["--port", port, "--peers", "1=127.0.0.1"]),
            ("named twice", ["--port", port, "--peers", f"1=a:{port},1=b:1"]),
            (str(port), ["--port", port, "--peers", "1=127.0.0.1:1,2=127.0.0.1:2"]),
            ("peers", ["--id", "3", "--port", port,
                       "--peers", f"1=127.0.0.1:{port},2=127.0.0.1:2"]),
            ("bad.toml:2", ["--config", config]),
            ("no-such.toml", ["--config", self.directory / "no-such.toml"]),
            ("--nonsense", ["--nonsense"]),
        ]
        for want, flags in table:
            with self.subTest(flags=flags):
                self.refuse(want, "--db", db, *flags)

    def test_a_configuration_file_is_checked_shown_and_made(self):
        config = self.directory / "cairn.toml"
        made = run_cairn("config", "default", "port=6000", f"db={self.directory}/a.db")
        self.assertEqual(made.returncode, 0, made.stderr)
        config.write_text(made.stdout)
        checked = run_cairn("config", "check", config)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertIn("settings in it: 2", checked.stdout)
        self.assertIn(f"port = 6000  # {config}:", run_cairn("config", "show", config).stdout)
        config.write_text("prot = 1\nport = true\n")
        checked = run_cairn("config", "check", config)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("cairn.toml:1: unknown setting 'prot'; is 'port' meant?", checked.stderr)
        self.assertIn("cairn.toml:2: port: must be a whole number", checked.stderr)
        # Each setting is right, but no server takes them together.
        config.write_text('host = "0.0.0.0"\ninsecure = true\n')
        checked = run_cairn("config", "check", config)
        self.assertEqual(checked.returncode, 1)
        self.assertIn("--advertise HOST:PORT", checked.stderr)
        self.assertEqual(run_cairn("config", "default", "prot=1").returncode, 1)
        self.assertEqual(run_cairn("config", "default", "nonsense").returncode, 2)

    def test_commands_that_do_not_exist_are_named(self):
        for want, arguments in [("unknown command 'frobnicate'", ["frobnicate"]),
                                ("unknown command 'frobnicate'", ["member", "frobnicate"]),
                                ("unknown flag '--nosuch'", ["--nosuch"]),
                                ("--prot", ["server", "--prot", "5"]),
                                ("id is required", ["member", "add", "127.0.0.1:1"]),
                                ("required", [])]:
            done = run_cairn(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("error: ", done.stderr)
            self.assertIn(want, done.stderr)

    def test_version_and_help_touch_nothing(self):
        done = run_cairn("--version", seconds=10)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^cairn \d+\.\d+\.\d+\n$")
        done = run_cairn("server", "--help", seconds=10)
        self.assertEqual(done.returncode, 0, done.stderr)
        for flag, default in [("--port", "50051"), ("--db", "master.db"), ("--id", "1"),
                              ("--election-timeout-ms", "150"), ("--log-bytes-max", "64MiB")]:
            self.assertRegex(done.stdout, f"{flag} [A-Z]+={default}")

    def test_a_busy_port(self):
        with socket.socket() as busy:
            port = free_ports(1)
            busy.bind(("127.0.0.1", port))
            busy.listen()
            self.refuse(str(port), "--db", self.directory / "a.db", "--port", port)

    def test_a_file_that_is_no_database(self):
        db = self.directory / "a.db"
        db.write_bytes(b"this is not a database" * 1000)
        self.refuse("a.db", "--db", db, "--port", free_ports(1))

    def test_a_directory_for_a_file(self):
        db = self.directory / "a.db"
        db.mkdir()
        self.refuse("a.db", "--db", db, "--port", free_ports(1))

    def test_an_unreadable_file(self):
        db = self.directory / "a.db"
        db.write_bytes(b"")
        db.chmod(0)
        self.directory.chmod(0o777)
        # Root may read everything, so the test runs as another user.
        someone = {"user": 65534} if os.geteuid() == 0 else {}
        try:
            done = subprocess.run([CAIRN, "server", "--db", db, "--port", str(free_ports(1))],
                                  capture_output=True, text=True, timeout=10, check=False, **someone)
        except PermissionError:
            self.skipTest("somebody else cannot reach the program here")
        self.assertGreater(done.returncode, 0)
        self.assertIn("a.db", done.stderr)
        self.assertIn("permission denied", done.stderr.lower())

    def test_a_second_process_on_the_same_data(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE t (a)")
        done = run_cairn("server", "--db", node.db, "--port", free_ports(1), seconds=10)
        self.assertGreater(done.returncode, 0)
        self.assertIn("node1.db", done.stderr)
        node.sql("INSERT INTO t VALUES (1)")
        self.assertEqual(node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])

    def test_data_of_another_node_id(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE t (a)")
        self.assertEqual(node.stop(), 0)
        self.refuse("node", "--id", "2", "--db", node.db, "--port", node.port)
        node.start()
        self.assertEqual(node.sql("SELECT count(*) AS n FROM t"), [{"n": 0}])

    def test_data_of_another_cluster_never_mixes(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE ours (a)")
        stranger_directory = self.directory / "stranger"
        stranger_directory.mkdir()
        stranger = Node(3, free_ports(1), stranger_directory)
        self.nodes = nodes + [stranger]
        stranger.start()
        harness.wait_until(stranger.leads, "the stranger leads its own cluster")
        stranger.sql("CREATE TABLE theirs (a)")
        self.assertEqual(stranger.stop(), 0)
        # The data of another cluster in the place of node 3's.
        nodes[2].kill()
        shutil.rmtree(f"{nodes[2].db}.cairn")
        for path in self.directory.glob("node3.db*"):
            path.unlink()
        for path in stranger_directory.glob("node3.db*"):
            target = self.directory / path.name
            shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
        nodes[2].start(wait=False)
        # Whether the node ends or waits, the other two go on, and neither side gets the other's data.
        for i in range(20):
            nodes[0].sql(f"INSERT INTO ours VALUES ({i})")
        tables = nodes[1].sql("SELECT name FROM sqlite_schema WHERE name IN ('ours', 'theirs')")
        self.assertEqual(tables, [{"name": "ours"}])
        nodes[2].kill()
        with sqlite3.connect(nodes[2].db) as file:
            names = {row[0] for row in file.execute("SELECT name FROM sqlite_schema")}
        self.assertIn("theirs", names)
        self.assertNotIn("ours", names)
        self.assertIn("cluster", nodes[2].log.lower())

    def test_a_database_or_log_of_another_node_alone_is_refused(self):
        """The rest of the data is the node's own, so the state looks like an interrupted install."""
        nodes = []
        for name, rows in (("one", 1), ("two", 5)):
            directory = self.directory / name
            directory.mkdir()
            node = Node(1, free_ports(1), directory)
            nodes.append(node)
            self.nodes = nodes
            node.start()
            harness.wait_until(node.leads, "it leads")
            node.sql(f"CREATE TABLE {name} (a)")
            for _ in range(rows):
                node.sql(f"INSERT INTO {name} VALUES (1)")
            self.assertEqual(node.stop(), 0)
        one, two = nodes
        kept = self.directory / "kept"
        shutil.copytree(one.db.parent, kept)
        for suffix in ("", "-wal", "-shm"):
            pathlib.Path(f"{one.db}{suffix}").unlink(missing_ok=True)
            if pathlib.Path(f"{two.db}{suffix}").exists():
                shutil.copy(f"{two.db}{suffix}", f"{one.db}{suffix}")
        self.refuse("the database is of another node", "--db", one.db, "--port", one.port)
        shutil.rmtree(one.db.parent)
        shutil.copytree(kept, one.db.parent)
        shutil.rmtree(f"{one.db}.cairn/log")
        shutil.copytree(f"{two.db}.cairn/log", f"{one.db}.cairn/log")
        self.refuse("the log is of another node", "--db", one.db, "--port", one.port)
        shutil.rmtree(one.db.parent)
        shutil.copytree(kept, one.db.parent)
        one.start()
        self.assertEqual(one.sql("SELECT count(*) AS n FROM one"), [{"n": 1}])

    def test_a_copy_of_a_database_without_its_directory_is_refused(self):
        """After a clean stop the file alone holds everything; after a kill a part is in the WAL."""
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE t (a)")
        for clean in (True, False):
            if clean:
                self.assertEqual(node.stop(), 0)
            else:
                node.start()
                node.sql("INSERT INTO t VALUES (1)")
                node.kill()
            copy = self.directory / f"copy{clean}.db"
            shutil.copy(node.db, copy)
            if not clean:
                shutil.copy(f"{node.db}-wal", f"{copy}-wal")
            with self.subTest(clean=clean):
                self.refuse(f"its identity is not in {copy}.cairn", "--db", copy, "--port", node.port)
                self.assertFalse(pathlib.Path(f"{copy}.cairn").exists())
        # The directory is another node's.
        shutil.copytree(f"{node.db}.cairn", f"{self.directory}/copyTrue.db.cairn")
        self.refuse("belongs to node 1", "--id", "2", "--db", self.directory / "copyTrue.db",
                    "--port", node.port)

    def test_a_directory_that_cannot_be_written(self):
        # /sys takes no files from anyone, root included.
        self.refuse("/sys", "--db", "/sys/cairn-test.db", "--port", free_ports(1))

    def test_a_flag_that_is_false_outranks_the_file(self):
        config = self.directory / "open.toml"
        config.write_text('host = "0.0.0.0"\nadvertise = "127.0.0.1:5"\ninsecure = true\n')
        self.refuse("--tls-dir", "--config", config, "--db", self.directory / "a.db", "--insecure=false")

    def test_wide_open_addresses_need_tls_or_insecure(self):
        port = free_ports(1)
        flags = ["--advertise", f"127.0.0.1:{port}"]
        self.refuse("--tls-dir", "--db", self.directory / "wide.db", "--port", port, "--host",
                    "0.0.0.0", *flags)
        node = Node(1, port, self.directory, flags=[*flags, "--insecure"], host="0.0.0.0")
        self.nodes = [node]
        node.start()
        self.assertIn("without TLS (--insecure): everyone who reaches 0.0.0.0", node.log)


if __name__ == "__main__":
    harness.main()
