"""The HTTP door of real nodes: what /metrics, /readyz and /v1/status say while things happen, and that
no client of the door harms the node. Alert rules and the dashboard name metrics that there are."""
import http.client
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import unittest

import harness
from harness import ROOT, CairnTest, free_ports, run_cairn, wait_until

PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")
ALERTS = ROOT / "docs/operations/alerts.yml"
ALERT_TESTS = ROOT / "tests/fixtures/alerts_test.yml"
DASHBOARD = ROOT / "docs/operations/grafana-dashboard.json"
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$")


def get(node, path, method="GET", timeout=10):
    connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Metrics(dict):
    """The samples of a scrape, by name and labels as they are written: cairn_members{kind="voter"}."""

    def __init__(self, text):
        super().__init__()
        self.help, self.type = {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, self_help = line[7:].split(" ", 1)
                self.help[name] = self_help
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                self.type[name] = kind
            else:
                match = SAMPLE.match(line)
                assert match, f"no sample: {line!r}"
                key = match[1] + (match[2] or "")
                assert key not in self, f"twice: {key}"
                self[key] = float(match[3])

    def family(self, key):
        name = key.split("{")[0]
        for suffix in ("_bucket", "_sum", "_count"):
            if name.endswith(suffix) and self.type.get(name[:-len(suffix)]) == "histogram":
                return name[:-len(suffix)]
        return name


def scrape(node):
    status, body = get(node, "/metrics")
    assert status == 200, body
    return Metrics(body)


class HttpTest(CairnTest):
    def start_http_cluster(self, count, flags=(), ready=True):
        nodes = self.new_cluster(count, flags=flags, start=False)
        ports = free_ports(count)
        for node, port in zip(nodes, range(ports, ports + count)):
            node.http_port = port
            node.flags += ["--http-port", str(port)]
        for node in nodes:
            node.start()
        self.await_leader()
        if not ready:
            return nodes
        self.await_level(self.await_leader())
        for node in nodes:
            wait_until(lambda node=node: get(node, "/readyz")[0] == 200, "ready")
        return nodes


class ClusterUnderLoad(HttpTest):
    def test_values_move_as_they_should(self):
        nodes = self.start_http_cluster(3)
        before = [scrape(node) for node in nodes]
        for metrics in before:
            for key in metrics:
                self.assertIn(metrics.family(key), metrics.help)
                self.assertIn(metrics.family(key), metrics.type)
            self.assertEqual(metrics['cairn_members{kind="voter"}'], 3)
            self.assertEqual(metrics["cairn_voters_needed"], 2)
            self.assertEqual(metrics["cairn_has_leader"], 1)
            self.assertEqual(metrics["cairn_fenced"], 0)
            self.assertEqual(sum(v for k, v in metrics.items() if k.startswith("cairn_peer_connected")), 2)
        self.assertEqual(sum(m["cairn_is_leader"] for m in before), 1)

        self.start_load(3000)
        wait_until(lambda: sum(scrape(node)['cairn_requests_total{method="write",code="OK"}']
                               for node in nodes) > 20, "writes are counted")
        self.check_load()
        asked = next(node for node in nodes if not node.leads())
        asked.sql("CREATE TABLE t(a)")
        self.assertNotEqual(asked.shell("INSERT INTO nowhere VALUES(1)").returncode, 0)
        asked.sql("SELECT count(*) FROM t")
        after = [scrape(node) for node in nodes]
        for old, new in zip(before, after):
            for rises in ("cairn_log_sync_seconds_count", "cairn_apply_seconds_count",
                          "cairn_commit_index", "cairn_applied_index", "cairn_applied_entries_total",
                          "cairn_log_written_bytes_total", "process_cpu_seconds_total"):
                self.assertGreater(new[rises], old[rises], rises)
            self.assertEqual(new['cairn_request_seconds_bucket{method="write",outcome="ok",le="+Inf"}'],
                             new['cairn_request_seconds_count{method="write",outcome="ok"}'])
            self.assertGreater(new["cairn_database_bytes"], 0)
            self.assertGreater(new["cairn_disk_free_bytes"], 0)
            self.assertLess(new["cairn_state_age_seconds"], 10)
        leader = next(m for m in after if m["cairn_is_leader"] == 1)
        follower = next(m for m in after if m["cairn_is_leader"] == 0)
        self.assertEqual(leader["cairn_voters_active"], 3)
        self.assertNotIn("cairn_voters_active", follower)
        self.assertGreater(leader["cairn_batch_commands_count"], 0)
        self.assertGreater(leader["cairn_commit_seconds_count"], 0)
        self.assertGreater(leader['cairn_requests_total{method="forwarded_write",code="OK"}'], 0)
        self.assertGreater(sum(m["cairn_writes_forwarded_total"] for m in after), 0)
        self.assertGreater(sum(m["cairn_read_rounds_total"] for m in after), 0)
        self.assertGreater(after[asked.id - 1]['cairn_requests_total{method="query",code="OK"}'], 0)

    def test_a_new_leader_is_counted_and_without_a_majority_nobody_is_ready(self):
        nodes = self.start_http_cluster(3)
        leader = next(node for node in nodes if node.leads())
        others = [node for node in nodes if node is not leader]
        elections = sum(scrape(node)["cairn_elections_total"] for node in others)
        changes = [scrape(node)["cairn_leader_changes_total"] for node in others]
        leader.kill()
        wait_until(lambda: all(get(node, "/readyz")[0] == 200 and
                               scrape(node)["cairn_leader_changes_total"] > old
                               for node, old in zip(others, changes)), "another leader")
        self.assertGreater(sum(scrape(node)["cairn_elections_total"] for node in others), elections)
        self.assertEqual(sum(scrape(node)["cairn_is_leader"] for node in others), 1)

        last, ended = others
        ended.kill()
        wait_until(lambda: get(last, "/readyz")[0] == 503, "not ready")
        self.assertIn("no leader is known", get(last, "/readyz")[1])
        self.assertEqual(get(last, "/livez")[0], 200)
        metrics = scrape(last)
        self.assertEqual(metrics["cairn_ready"], 0)
        self.assertEqual(metrics["cairn_has_leader"], 0)
        done = last.shell("INSERT INTO t VALUES(1)", timeout_ms=1000)
        self.assertNotEqual(done.returncode, 0)
        metrics = scrape(last)
        self.assertGreater(metrics['cairn_request_seconds_count{method="write",outcome="not_applied"}'], 0)
        ended.start()
        wait_until(lambda: get(last, "/readyz")[0] == 200, "ready again")

    def test_a_write_that_a_full_disk_refuses_is_counted(self):
        nodes = self.start_http_cluster(1, flags=["--free-bytes-min", "1048576GiB"], ready=False)
        node = nodes[0]
        wait_until(lambda: scrape(node)["cairn_in_trouble"] == 1, "trouble")
        self.assertNotEqual(node.shell("CREATE TABLE t(a)", timeout_ms=1000).returncode, 0)
        self.assertGreater(scrape(node)['cairn_refused_writes_total{reason="disk_full"}'], 0)
        status, body = get(node, "/readyz")
        self.assertEqual(status, 503)
        self.assertIn("free", body)


class OneNode(HttpTest):
    def test_the_status_is_json_and_the_pages_answer_head(self):
        node = self.start_http_cluster(1)[0]
        status, body = get(node, "/v1/status")
        self.assertEqual(status, 200)
        told = json.loads(body)
        self.assertEqual(told["node_id"], "1")
        self.assertEqual(told["role"], "ROLE_LEADER")
        self.assertEqual(len(told["members"]), 1)
        self.assertEqual(get(node, "/metrics", "HEAD"), (200, ""))
        self.assertEqual(get(node, "/metrics", "DELETE")[0], 405)
        status, body = get(node, "/nothing")
        self.assertEqual(status, 404)
        self.assertIn("/metrics", body)

    def test_slow_clients_and_a_thousand_connections_harm_nobody(self):
        node = self.start_http_cluster(1)[0]
        node.sql("CREATE TABLE t(a)")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
        sockets = []
        self.addCleanup(lambda: [each.close() for each in sockets])
        for i in range(1000):
            client = socket.create_connection(("127.0.0.1", node.http_port), timeout=5)
            if i % 3 == 1:
                client.send(b"GET /metr")
            if i % 3 == 2:
                client.send(b"\x16\x03\x01\x00")
            sockets.append(client)
            if i % 100 == 99:
                self.assertEqual(get(node, "/livez", timeout=30)[0], 200)
                node.sql("INSERT INTO t VALUES(1)")
        metrics = scrape(node)
        self.assertLessEqual(metrics["cairn_http_connections"], 64)
        self.assertGreater(metrics['cairn_http_connections_ended_total{reason="evicted"}'], 900)
        self.assertLess(metrics["process_open_fds"], 300)
        self.assertEqual(node.sql("SELECT count(*) AS n FROM t"), [{"n": 10}])

    def test_garbage_is_refused_and_the_node_goes_on(self):
        node = self.start_http_cluster(1)[0]
        for bytes_sent, answer in (
                (b"\x16\x03\x01\x02\x00" * 10 + b"\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 9000 + b"\r\n\r\n", b"431"),
                (b"GET /" + b"x" * 9000, b"431"),
                (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
                (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
                (os.urandom(4096) + b"\r\n\r\n", b"400")):
            with socket.create_connection(("127.0.0.1", node.http_port), timeout=5) as client:
                client.sendall(bytes_sent)
                got = b""
                while piece := client.recv(65536):
                    got += piece
            self.assertTrue(got.startswith(b"HTTP/1.1 " + answer), (bytes_sent[:40], got[:200]))
        self.assertEqual(get(node, "/readyz")[0], 200)

    def test_a_port_that_is_taken_stops_the_start_with_a_clear_error(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            db = self.directory / "x.db"
            done = run_cairn("server", "--port", free_ports(1), "--db", db, "--http-port", port)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the HTTP door: cannot listen on", done.stderr)
        self.assertFalse(db.exists())

    def test_there_is_no_door_unless_it_is_asked_for(self):
        node = self.new_cluster(1)[0]
        with open(f"/proc/{node.process.pid}/net/tcp", encoding="ascii") as table:
            inodes = {os.readlink(f"/proc/{node.process.pid}/fd/{fd}")
                      for fd in os.listdir(f"/proc/{node.process.pid}/fd")}
            listening = [line for line in map(str.split, table.readlines()[1:])
                         if line[3] == "0A" and f"socket:[{line[9]}]" in inodes]
        self.assertEqual(len(listening), 1)


class RulesAndDashboard(HttpTest):
    # Prometheus' own, of its scrapes; and what only a node with TLS tells.
    # They are absent while there is nothing to tell.
    OTHERS = {"up", "cairn_certificate_expiry_timestamp_seconds",
              "cairn_backup_verified_timestamp_seconds"}
    WORD = re.compile(r"\b(?:cairn|process|up)(?:_[a-z]+)*\b")

    def names_of(self, expressions):
        names = set()
        for expression in expressions:
            names |= set(self.WORD.findall(re.sub(r'"[^"]*"', '""', expression)))
        return names

    def test_each_metric_that_they_name_is_told(self):
        metrics = scrape(self.start_http_cluster(3)[0])
        leader = scrape(next(node for node in self.nodes if node.leads()))
        told = set(metrics.type) | set(leader.type)
        told |= {name + suffix for name, kind in metrics.type.items() if kind == "histogram"
                 for suffix in ("_bucket", "_sum", "_count")}
        rules = [line.split("expr:", 1)[1] for line in ALERTS.read_text().splitlines() if "expr:" in line]
        self.assertGreater(len(rules), 20)
        dashboard = json.loads(DASHBOARD.read_text())
        panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(panels), 40)
        for names in (self.names_of(rules), self.names_of(panels)):
            self.assertEqual(names - told - self.OTHERS, set())

    def test_each_alert_names_a_page_of_the_runbook(self):
        runbook = (ROOT / "docs/operations/runbook.md").read_text()
        pages = re.findall(r'runbook: "([^"]+)"', ALERTS.read_text())
        self.assertGreater(len(pages), 20)
        for page in pages:
            file, _, heading = page.partition(", ")
            self.assertTrue((ROOT / file).exists(), page)
            if heading:
                self.assertRegex(runbook, rf"(?m)^##+ \"?{re.escape(heading)}")

    def test_each_alert_has_a_case(self):
        alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
        tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", ALERT_TESTS.read_text()))
        self.assertEqual(alerts, tested)

    @unittest.skipUnless(PROMTOOL, "promtool is not installed (scripts/bootstrap alerts)")
    def test_promtool_finds_nothing_to_say(self):
        self.start_http_cluster(3)
        for node in self.nodes:
            done = subprocess.run([PROMTOOL, "check", "metrics"], input=get(node, "/metrics")[1],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        for arguments in (["check", "rules", ALERTS], ["test", "rules", ALERT_TESTS]):
            done = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Cost(HttpTest):
    def test_an_idle_node_and_its_scrapes_are_small(self):
        node = self.start_http_cluster(1)[0]
        connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
        for _ in range(50):
            connection.request("GET", "/metrics")
            body = connection.getresponse().read()
        connection.close()
        self.assertLess(len(body), 256 << 10)
        self.assertLess(Metrics(body.decode())["process_resident_memory_bytes"], 40 << 20)


if __name__ == "__main__":
    harness.main()
