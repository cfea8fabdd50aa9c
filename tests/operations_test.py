"""What operators ask of a node that runs: events, the level of its log, support bundles."""
import json
import shutil
import subprocess
import urllib.request

from harness import CairnTest, Node, free_ports, main, run_cairn, wait_until

SECRET = "rows that nobody else may see"


class Operations(CairnTest):
    def get(self, port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def unpacked(self, bundle):
        """{name: text} of a support bundle."""
        out = self.directory / "unpacked"
        out.mkdir(exist_ok=True)
        subprocess.run(["tar", "--zstd", "-xf", bundle, "-C", out], check=True, timeout=30)
        root = out / "cairn-support"
        return {str(path.relative_to(root)): path.read_text(errors="replace")
                for path in root.rglob("*") if path.is_file()}

    def test_a_disk_with_little_room_is_an_event_on_every_way(self):
        free = shutil.disk_usage(self.directory).free
        http = free_ports(1)
        # More than is free, so that the node takes its disk for full.
        node = Node(1, free_ports(1), self.directory,
                    flags=["--free-bytes-min", str(free + (50 << 30)), "--http-port", str(http)])
        self.nodes = [node]
        node.start()

        def told():
            done = run_cairn("events", node.address)
            return done if "disk_low" in done.stdout else None
        done = wait_until(told, "the event")
        self.assertEqual(done.returncode, 1)
        self.assertIn("critical: disk_low: ", done.stdout)
        self.assertIn("free space on the disk (A full disk)", done.stdout)
        [event] = [each for each in json.loads(self.get(http, "/v1/events"))["events"]
                   if each["kind"] == "disk_low"]
        self.assertEqual((event["active"], event["severity"]), (True, "EVENT_SEVERITY_CRITICAL"))
        self.assertIn('cairn_events{severity="critical"} 1', self.get(http, "/metrics"))
        self.assertIn("event: disk_low", node.log)

    def test_a_sound_node_has_no_events(self):
        [node] = self.new_cluster(1)
        done = run_cairn("events", node.address)
        self.assertEqual((done.returncode, done.stdout), (0, "no events\n"))
        nobody = run_cairn("events", f"127.0.0.1:{free_ports(1)}")
        self.assertEqual(nobody.returncode, 1)
        self.assertIn("UNAVAILABLE", nobody.stderr)

    def test_the_level_of_the_log_changes_while_the_node_runs(self):
        [node] = self.new_cluster(1)
        self.assertEqual(run_cairn("log-level", node.address).stdout, "info\n")
        done = run_cairn("log-level", node.address, "error")
        self.assertIn("log level changes from info to error", node.log)
        self.assertEqual((done.returncode, done.stdout), (0, "error, was info\n"))
        self.assertEqual(run_cairn("log-level", node.address, "info").returncode, 0)
        self.assertEqual(run_cairn("log-level", node.address).stdout, "info\n")
        bad = run_cairn("log-level", node.address, "loud")
        self.assertEqual(bad.returncode, 1)
        self.assertIn("none of trace, debug, info", bad.stderr)

    def test_a_support_bundle_has_what_helps_of_every_node_and_no_rows(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE person (name TEXT)")
        nodes[0].sql(f"INSERT INTO person VALUES ('{SECRET}')")
        nodes[2].kill()
        path = self.directory / "bundle.tar.zst"
        done = run_cairn("support-bundle", nodes[0].address, "--out", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        files = self.unpacked(path)
        for node in (1, 2):
            for name in ("status.json", "health.txt", "events.json", "metrics.txt", "log.txt",
                         "settings.toml", "versions.txt"):
                self.assertIn(f"node{node}/{name}", files)
            self.assertEqual(json.loads(files[f"node{node}/status.json"])["node_id"], str(node))
            self.assertIn("cairn_commit_index", files[f"node{node}/metrics.txt"])
            self.assertIn("serving address=", files[f"node{node}/log.txt"])
            self.assertIn(f"port = {nodes[node - 1].port}  # flag\n", files[f"node{node}/settings.toml"])
        self.assertIn(nodes[2].address, files["node3/error.txt"])
        self.assertIn("node 3", files["doctor.txt"])
        for name, text in files.items():
            self.assertNotIn(SECRET, text, name)
        again = run_cairn("support-bundle", nodes[0].address, "--out", path)
        self.assertEqual(again.returncode, 1)
        self.assertIn("File exists", again.stderr)

    def test_a_node_that_does_not_run_has_a_bundle_too(self):
        [node] = self.new_cluster(1)
        node.sql("CREATE TABLE person (name TEXT)")
        node.sql(f"INSERT INTO person VALUES ('{SECRET}')")
        self.assertEqual(node.stop(), 0)
        path = self.directory / "bundle.tar.zst"
        done = run_cairn("support-bundle", f"{node.db}.cairn", "--out", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        files = self.unpacked(path)
        self.assertIn(f": {node.db}\n", files["files.txt"])
        self.assertIn("/log/", files["files.txt"])
        self.assertIn("bytes free of", files["disk.txt"])
        for name, text in files.items():
            self.assertNotIn(SECRET, text, name)


if __name__ == "__main__":
    main()
