"""cairn backup into a storage that speaks S3."""
import contextlib
import os
import signal
import sqlite3
import subprocess
import time

import harness
from fake_s3 import ACCESS_KEY, REGION, SECRET_KEY, FakeS3
from harness import CairnTest, main, run_cairn, wait_until

MIB = 1 << 20
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


class S3Backups(CairnTest):
    def setUp(self):
        super().setUp()
        self.storage = FakeS3("backups")
        self.addCleanup(self.storage.close)
        self.spool = self.directory / "spool"
        self.spool.mkdir()
        self.node = self.new_cluster(1)[0]
        self.node.sql("CREATE TABLE big (id INTEGER PRIMARY KEY, data)")

    def fill(self, mib):
        rows = "".join("INSERT INTO big (data) VALUES (randomblob(1000000));\n" for _ in range(mib))
        done = run_cairn("shell", self.node.address, stdin=rows, seconds=120)
        self.assertEqual(done.returncode, 0, done.stderr)

    def command(self, *flags, to="s3://backups/of us/ä+b", endpoint=None, spool=None):
        return [harness.CAIRN, "backup", self.node.address, to, "--endpoint", endpoint or self.storage.endpoint,
                "--region", REGION, "--spool", str(spool or self.spool), *map(str, flags)]

    def backup(self, *flags, env=None, **how):
        return subprocess.run(self.command(*flags, **how), capture_output=True, text=True, check=False,
                              env={**os.environ, **(ENVIRONMENT if env is None else env)}, timeout=120)

    def await_next_name(self):
        """Backups are named by the second."""
        second = int(time.time())
        wait_until(lambda: int(time.time()) > second, "the next second")

    def names(self):
        return sorted(self.storage.objects)

    def assert_nothing_is_left(self):
        self.assertEqual(list(self.spool.iterdir()), [])
        self.assertEqual(self.storage.uploads, {})

    def test_a_backup_is_sent_in_parts_and_restored(self):
        self.fill(20)
        done = self.backup()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.storage.refused, [])
        [name, checksum] = self.names()
        self.assertRegex(name, r"^of us/ä\+b/cairn-\d{8}T\d{6}Z\.db$")
        self.assertEqual(checksum, name + ".sha256")
        self.assertIn(f"s3://backups/{name}: ", done.stdout)
        self.assertGreater(len(self.storage.objects[name]), 19 * MIB)
        self.assertEqual(self.storage.largest, 8 * MIB)
        self.assert_nothing_is_left()
        fetched = self.directory / name.rpartition("/")[2]
        fetched.write_bytes(self.storage.objects[name])
        fetched.with_name(fetched.name + ".sha256").write_bytes(self.storage.objects[checksum])
        check = run_cairn("restore", fetched, "--check", seconds=60)
        self.assertEqual(check.returncode, 0, check.stderr)
        with contextlib.closing(sqlite3.connect(fetched)) as db:
            self.assertEqual(db.execute("SELECT count(*) FROM big").fetchone(), (20,))

    def test_backups_are_made_again_and_again_and_the_latest_are_kept(self):
        self.storage.objects["of us/ä+b/notes.txt"] = b"of somebody else"
        client = subprocess.Popen(self.command("--every", "1s", "--keep", 2), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**os.environ, **ENVIRONMENT})
        self.addCleanup(client.kill)
        made = lambda: len([r for r in self.storage.requests if r[0] == "POST" and "uploads" in r[2]])
        wait_until(lambda: made() >= 5, "five backups are made")
        client.send_signal(signal.SIGTERM)
        errors = client.communicate(timeout=harness.BOUND_SECONDS)[1]
        self.assertEqual(client.returncode, 0, errors)
        whole = [name for name in self.names() if name.endswith(".sha256")]
        self.assertIn(len(whole), (2, 3))
        self.assertIn("of us/ä+b/notes.txt", self.storage.objects)
        self.assertEqual(self.storage.refused, [])

    def test_errors_that_pass_are_tried_again(self):
        self.fill(9)
        failed = set()

        def once(method, path, query):
            request = (method, path, tuple(sorted(query.items())))
            if request in failed:
                return None
            failed.add(request)
            return 503
        self.storage.fail = once
        done = self.backup()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.names()), 2)
        self.assert_nothing_is_left()

    def test_a_storage_that_does_not_keep_what_it_is_given_is_found(self):
        self.fill(9)
        good = self.backup()
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertIn("read back and compared", good.stdout)
        kept = self.names()
        self.await_next_name()
        self.storage.keep = lambda content: content[:5 << 20] + b"?" + content[(5 << 20) + 1:]
        bad = self.backup("--keep", 1)
        self.assertEqual(bad.returncode, 1)
        self.assertIn("is not good: what was read back has the SHA-256", bad.stderr)
        self.assertEqual(self.names(), kept, "it is removed, and no earlier one goes for it")

        def told():
            done = run_cairn("events", self.node.address)
            return done.stdout if "warning: backup_failed" in done.stdout else None
        self.assertIn("what was read back", wait_until(told, "the event"))
        self.storage.keep = lambda content: content
        self.await_next_name()
        self.assertEqual(self.backup("--keep", 1).returncode, 0)
        wait_until(lambda: "over: backup_failed" in run_cairn("events", self.node.address).stdout,
                   "a good backup ends the event")
        self.assertEqual(len(self.names()), 2)
        self.assert_nothing_is_left()

    def test_one_that_cannot_be_read_back_stays(self):
        # A key that may only write, which is usual where backups are kept from ransomware.
        self.fill(2)
        is_backup = lambda path: path.endswith(".db")
        self.storage.fail = lambda method, path, query: (
            403 if method == "GET" and is_backup(path) else None)
        done = self.backup("--keep", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("not read back", done.stdout)
        self.assertIn("is stored, and was not read back", done.stderr)
        first = self.names()
        self.assertEqual(len(first), 2)
        wait_until(lambda: "backup_failed" in run_cairn("events", self.node.address).stdout, "the event")
        self.await_next_name()
        self.assertEqual(self.backup("--keep", 1).returncode, 0)
        self.assertEqual(len(self.names()), 4, "no earlier one goes for one that was not compared")
        self.await_next_name()
        gets = len([r for r in self.storage.requests if r[0] == "GET" and is_backup(r[1])])
        done = self.backup("--keep", 1, "--no-read-back")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("not read back", done.stdout)
        self.assertEqual(gets, len([r for r in self.storage.requests
                                    if r[0] == "GET" and is_backup(r[1])]))
        self.assertEqual(len(self.names()), 2)

    def test_what_is_wrong_is_said_and_nothing_is_left(self):
        self.fill(9)
        self.storage.fail = lambda method, path, query: 400 if query.get("partNumber") == "2" else None
        done = self.backup()
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not there: ", done.stderr)
        self.assertIn("InternalError", done.stderr)
        self.assertEqual(self.names(), [])
        self.assert_nothing_is_left()
        self.storage.fail = lambda *_: None
        wrong = self.backup(env={**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "another"})
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("SignatureDoesNotMatch", wrong.stderr)
        nowhere = self.backup(to="s3://other/x")
        self.assertIn("NoSuchBucket", nowhere.stderr)
        no_keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        for how, why in (({"env": no_keys}, "AWS_ACCESS_KEY_ID"),
                         ({"spool": self.directory / "none"}, "not a directory"),
                         ({"endpoint": "ftp://x"}, "URL")):
            bad = self.backup(**how)
            self.assertNotEqual(bad.returncode, 0)
            self.assertIn(why, bad.stderr)
        self.assertEqual(self.names(), [])
        self.assert_nothing_is_left()

    def test_one_that_is_interrupted_leaves_nothing(self):
        self.fill(9)
        held = []

        def hold(method, path, query):
            if query.get("partNumber") != "2":
                return None
            held.append(path)
            time.sleep(0.2)
            return 503
        self.storage.fail = hold
        client = subprocess.Popen(self.command(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env={**os.environ, **ENVIRONMENT})
        self.addCleanup(client.kill)
        wait_until(lambda: held, "a part is sent")
        client.send_signal(signal.SIGINT)
        errors = client.communicate(timeout=harness.BOUND_SECONDS)[1]
        self.assertEqual(client.returncode, 128 + signal.SIGINT, errors)
        self.assertEqual(self.names(), [])
        self.assert_nothing_is_left()


if __name__ == "__main__":
    main()
