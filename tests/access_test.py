"""Who may do what, between real processes: every method by every role, and what is told."""
import json
import socket
import ssl
import subprocess
import time

import harness
import raw_grpc
from harness import CairnTest, free_ports, run_cairn, wait_until
from raw_grpc import PERMISSION_DENIED, field, fields, message
from tls_test import Site, TlsNode

ROLES = {
    "admin": {"read", "write", "schema", "watch", "backup", "restore", "membership", "security",
              "status", "telemetry", "commands", "policies", "models"},
    "operator": {"status", "membership", "backup"},
    "writer": {"read", "write", "watch", "status"},
    "reader": {"read", "watch", "status"},
    "monitor": {"status"},
    "edge": {"telemetry", "commands"},
    "hub": {"telemetry", "commands", "policies", "models"},
}
NODE, ANYONE, SOMEBODY = "a node", "anyone", "somebody"
# What each method asks for. A method that is not here fails the test.
METHODS = {
    "cairn.v1.Database": {
        "Execute": SOMEBODY, "Query": {"read"}, "Prepare": {"write"}, "Commit": {"write"},
        "Rollback": {"write"}, "GetVersion": {"read"}, "GetTransaction": {"write"},
        "Session": SOMEBODY, "Watch": {"read", "watch"}, "WatchQuery": {"read", "watch"},
        "ListRetained": {"read"}, "ListAccess": ANYONE, "ListAudit": {"security"},
        "Backup": {"backup"}},
    "cairn.v1.Cluster": {
        "Status": {"status"}, "ChangeMembership": {"membership"},
        "TransferLeadership": {"membership"}, "RaiseLevel": {"membership"}},
    "cairn.v1.Operations": {
        "ListEvents": {"status"}, "SetLogLevel": {"membership"}, "Diagnose": {"membership"},
        "NoteBackup": {"backup"}},
    "transaction.DatabaseService": {
        "Execute": {"write"}, "ExecuteBatch": {"write"}, "Prepare": {"write"}, "Commit": {"write"},
        "Rollback": {"write"}, "GetVersion": {"read"}, "CheckHealth": ANYONE},
    "cairn.internal.Peer": {"Messages": NODE, "Snapshot": NODE, "Probe": NODE, "Join": NODE},
    "grpc.health.v1.Health": {"Check": ANYONE, "Watch": ANYONE},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANYONE},
}
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
EXECUTE = "/cairn.v1.Database/Execute"


def statement(sql):
    return field(1, sql)


def execute(*texts):
    """An ExecuteRequest."""
    return b"".join(field(1, statement(sql)) for sql in texts)


def grant(principal, privilege, kind=1):
    """An ExecuteRequest that changes access."""
    return field(10, field(1, kind) + field(2, field(1, principal) + field(2, privilege)))


class AccessTest(CairnTest):
    count = 1

    def setUp(self):
        super().setUp()
        self.site = Site(self.directory / "site")
        self.clients = {}
        self.admin = self.client_of("admin")
        base = free_ports(self.count)
        peers = ",".join(f"{i + 1}=127.0.0.1:{base + i}" for i in range(self.count))
        self.nodes = [TlsNode(i + 1, base + i, self.directory, peers if self.count > 1 else "",
                              ["--tls-dir", self.site.node(i + 1)], tls=self.admin)
                      for i in range(self.count)]
        for node in self.nodes:
            node.start()
        self.await_level(self.await_leader())
        self.node = self.nodes[0]

    def client_of(self, name):
        """The TLS directory of the principal."""
        if name not in self.clients:
            self.clients[name] = self.site.client(name)
        return self.clients[name]

    def cairn(self, name, command, *arguments):
        return run_cairn(command, "--tls-dir", self.client_of(name), self.node.address, *arguments)

    def must(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def deny(self, done, *words):
        self.assertNotEqual(done.returncode, 0, done.stdout)
        for word in words:
            self.assertIn(word, done.stderr)

    def grant(self, principal, privilege):
        self.must(self.cairn("admin", "grant", principal, privilege))

    def revoke(self, principal, privilege):
        self.must(self.cairn("admin", "revoke", principal, privilege))

    def shell(self, name, *commands, node=None):
        arguments = []
        for command in commands:
            arguments += ["-c", command]
        return run_cairn("shell", "--tls-dir", self.client_of(name), (node or self.node).address,
                         "--mode", "json", *arguments)

    def open_call(self, tls, path, extra=()):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(tls / "tls.crt", tls / "tls.key")
        plain = socket.create_connection(("127.0.0.1", self.node.port), timeout=30)
        call = raw_grpc.Call.over(context.wrap_socket(plain), path, extra)
        self.addCleanup(call.socket.close)
        return call

    def raw(self, tls, path, request, extra=()):
        call = self.open_call(tls, path, extra)
        call.send(message(request), end=True)
        call.finish()
        return call

    def methods(self):
        """All methods that the node serves, by what the node says of itself."""
        call = self.open_call(self.admin, REFLECTION)

        def ask(request, answer):
            call.send(message(request))
            return fields(call.take_message(), answer)
        listed = ask(field(7, "*"), 6)[0]
        found = {}
        for service in fields(listed, 1):
            name = fields(service, 1)[0].decode()
            files = ask(field(4, name), 4)
            if not files and name.startswith("grpc."):  # gRPC's own, of which it does not tell more
                found[name] = list(METHODS[name])
                continue
            for file in fields(files[0], 1):
                package = fields(file, 2)[0].decode()
                for described in fields(file, 6):
                    if f"{package}.{fields(described, 1)[0].decode()}" == name:
                        found[name] = [fields(m, 1)[0].decode() for m in fields(described, 2)]
        call.socket.close()
        return found


class EveryMethodTest(AccessTest):
    def test_every_method_asks_every_role_for_its_privilege(self):
        """Whoever adds a service or a method adds it to METHODS, and to the server's table."""
        served = self.methods()
        self.assertEqual({name: set(methods) for name, methods in served.items()},
                         {name: set(methods) for name, methods in METHODS.items()})
        holders = {role: (self.client_of(f"the-{role}"), role) for role in ROLES}
        for role in ROLES:
            self.grant(f"the-{role}", role)
        privileges = {role: ROLES[role] for role in ROLES}
        for privilege in ROLES["admin"]:
            self.grant(f"only-{privilege}", privilege)
            holders[privilege] = (self.client_of(f"only-{privilege}"), privilege)
            privileges[privilege] = {privilege}
        holders["none"] = (self.client_of("nobody"), "none")
        privileges["none"] = set()
        wait_until(lambda: self.raw(self.client_of("the-reader"), "/cairn.v1.Cluster/Status",
                                    b"").status == 0, "it is known")
        denied = 0
        for service, methods in METHODS.items():
            for method, needs in methods.items():
                for name, (tls, _) in holders.items():
                    has = privileges[name]
                    allowed = (needs == ANYONE or (needs == SOMEBODY and has) or
                               (isinstance(needs, set) and needs <= has))
                    # No message: what is let in is refused by the service, and does nothing.
                    call = self.raw(tls, f"/{service}/{method}", b"\xff\xff\xff")
                    with self.subTest(method=f"{service}/{method}", role=name):
                        self.assertEqual(call.status == PERMISSION_DENIED, not allowed, call.text)
                        if not allowed:
                            denied += 1
        self.assertGreater(denied, 200)

    def test_a_call_that_waits_with_its_message_is_judged_again(self):
        """A caller begins calls, and sends their messages when its privileges have been revoked."""
        self.must(self.shell("admin", "CREATE TABLE t (a)", "INSERT INTO t VALUES ('hidden')"))
        self.grant("op", "admin")
        requests = {
            "cairn.v1.Cluster/Status": b"", "cairn.v1.Cluster/RaiseLevel": b"",
            "cairn.v1.Cluster/TransferLeadership": b"",
            "cairn.v1.Cluster/ChangeMembership": field(1, 1) + field(2, 9) + field(3, "h:1"),
            "cairn.v1.Database/Backup": b"", "cairn.v1.Database/Watch": b"",
            "cairn.v1.Database/WatchQuery": field(1, "SELECT a FROM t"),
            "cairn.v1.Database/Query": field(1, statement("SELECT a FROM t")),
            "cairn.v1.Database/GetVersion": b"", "cairn.v1.Database/ListRetained": b"",
            "cairn.v1.Database/GetTransaction": field(1, "tx"),
            "cairn.v1.Database/Execute": execute("INSERT INTO t VALUES (2)"),
            "cairn.v1.Database/Prepare": field(1, "tx") + field(2, statement("DELETE FROM t")),
            "cairn.v1.Database/Commit": field(1, "tx"),
            "transaction.DatabaseService/Execute": field(1, "DELETE FROM t"),
            "transaction.DatabaseService/GetVersion": field(1, "t"),
        }
        calls = {name: self.open_call(self.client_of("op"), "/" + name) for name in requests}
        time.sleep(0.3)  # the node has judged what it knows of them
        self.revoke("op", "admin")
        for name, request in requests.items():
            call = calls[name]
            call.send(message(request), end=True)
            call.finish()
            with self.subTest(name):
                self.assertEqual(call.status, PERMISSION_DENIED, call.text)
                self.assertEqual(bytes(call.answer), b"")

    def test_a_method_that_is_not_there_is_refused(self):
        for path in ("/cairn.v1.Database/Nothing", "/x", "/", "/cairn.v1.Database/Query/"):
            self.assertNotEqual(self.raw(self.client_of("nobody"), path, b"").status, 0, path)

    def test_what_is_in_an_execute_is_judged(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        begin = field(9, field(1, "r") + field(2, field(1, 100) + field(2, "0" * 64)))
        retain = field(8, field(1, "t") + field(2, 3_600_000))
        requests = {
            "rows": (execute("INSERT INTO t VALUES (1)"), {"write"}),
            "rows, hidden": (execute("WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c"),
                             {"write"}),
            "rows that are read": (execute("UPDATE t SET a = a + 1"), {"read", "write"}),
            "maintenance": (execute("INSERT INTO t VALUES (1)") + field(5, 1),
                            {"read", "write", "schema"}),
            "foreign keys off": (field(7, field(1, statement("DELETE FROM t")) + field(2, 1)),
                                 {"read", "write", "schema"}),
            "schema": (execute("CREATE INDEX IF NOT EXISTS i ON t (a)"),
                       {"read", "write", "schema"}),
            "schema, hidden": (execute("INSERT INTO t VALUES (1)", "/* x */ drop TABLE IF EXISTS u"),
                               {"read", "write", "schema"}),
            "retain": (retain, {"schema"}),
            "restore": (begin, {"restore"}),
            "grant": (grant("x", "reader"), {"security"}),
            "revoke": (grant("x", "reader", 2), {"security"}),
        }
        session = "/cairn.v1.Database/Session"
        for role, has in {**ROLES, "schema": {"schema"}, "security": {"security"},
                          "restore": {"restore"}, "write": {"write"}}.items():
            self.grant(f"the-{role}", role)
            tls = self.client_of(f"the-{role}")
            for what, (request, needs) in requests.items():
                with self.subTest(role=role, what=what):
                    status = self.raw(tls, EXECUTE, request).status
                    self.assertEqual(status == PERMISSION_DENIED, not needs <= has, status)
                    # The same in a Session, which holds many requests.
                    call = self.open_call(tls, session)
                    call.send(message(field(1, field(1, 7) + field(3, request))), end=True)
                    answers = []
                    while (one := call.take_message()) is not None:
                        answers += fields(one, 1)
                    errors = fields(answers[0], 2)
                    code = errors[0][1] if errors and errors[0][:1] == b"\x08" else 0
                    self.assertEqual(code == PERMISSION_DENIED, not needs <= has, code)


class GrantTest(AccessTest):
    def test_nobody_but_admin_may_do_anything_before_the_first_grant(self):
        self.deny(self.shell("alice", "SELECT 1"), "principal:alice lacks the privilege read",
                  "cairn grant")
        self.deny(self.shell("alice", "CREATE TABLE t (a)"), "principal:alice has no privilege")
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        told = self.must(self.cairn("alice", "access"))
        self.assertIn("you are principal:alice and may: nothing", told)

    def test_grants_are_given_shown_and_taken_back(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        self.grant("alice", "reader")
        self.must(self.shell("alice", "SELECT count(*) FROM t"))
        self.deny(self.shell("alice", "INSERT INTO t VALUES (1)"),
                  "principal:alice lacks the privilege write", "can grant it (cairn grant)")
        self.grant("alice", "writer")
        self.must(self.shell("alice", "INSERT INTO t VALUES (1)"))
        self.deny(self.shell("alice", "DROP TABLE t"), "lacks the privilege schema")
        self.grant("*", "status")
        shown = json.loads(self.must(self.cairn("admin", "access", "--mode", "json")))
        self.assertEqual([(row["principal"], row["privilege"]) for row in shown],
                         [("*", "status"), ("alice", "reader"), ("alice", "writer")])
        # Others see what concerns them.
        shown = json.loads(self.must(self.cairn("bob", "access", "--mode", "json")))
        self.assertEqual([row["principal"] for row in shown], ["*"])
        self.assertIn("may: status", self.must(self.cairn("bob", "access")))
        self.revoke("alice", "writer")
        self.deny(self.shell("alice", "INSERT INTO t VALUES (1)"), "lacks the privilege write")
        self.must(self.shell("alice", "SELECT count(*) FROM t"))
        self.revoke("alice", "reader")
        self.deny(self.shell("alice", "SELECT count(*) FROM t"), "lacks the privilege read")

    def test_only_who_may_grant_grants(self):
        self.grant("oscar", "operator")
        self.grant("wilma", "writer")
        for name in ("oscar", "wilma"):
            self.deny(self.cairn(name, "grant", name, "admin"), "lacks the privilege security")
            self.deny(self.cairn(name, "revoke", "oscar", "operator"), "security")
        self.grant("sybil", "security")
        self.must(self.cairn("sybil", "grant", "wilma", "schema"))

    def test_nonsense_is_refused_in_words(self):
        for principal, privilege, words in (
                ("alice", "everything", "neither a role nor a privilege"),
                ("a b", "reader", "1 to 64 letters"),
                ("admin", "reader", "has the role admin without a grant")):
            done = self.cairn("admin", "grant", principal, privilege)
            self.deny(done, words)

    def test_grants_outlive_a_restart_and_auth_can_be_switched_off(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        self.grant("alice", "reader")
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.must(self.shell("alice", "SELECT * FROM t"))
        self.deny(self.shell("alice", "INSERT INTO t VALUES (1)"), "lacks")
        self.assertEqual(self.node.stop(), 0)
        self.node.flags += ["--auth", "off"]
        self.node.start()
        self.must(self.shell("nobody", "INSERT INTO t VALUES (1)"))
        self.assertIn("asks for no privileges", self.must(self.cairn("nobody", "access")))

    def test_auth_needs_certificates(self):
        done = run_cairn("server", "--db", self.directory / "x.db", "--port", free_ports(1),
                         "--auth", "on")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("--auth on needs TLS", done.stderr)

    def test_a_restore_into_the_cluster_leaves_its_grants(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        self.grant("eve", "admin")
        backup = self.directory / "backup.db"
        self.must(self.cairn("admin", "backup", backup))
        self.revoke("eve", "admin")
        self.grant("eve", "writer")
        into = [backup, "--into", self.node.address, "--yes"]
        self.deny(run_cairn("restore", "--tls-dir", self.client_of("eve"), *into),
                  "lacks the privilege restore")
        self.must(run_cairn("restore", "--tls-dir", self.admin, *into))
        self.must(self.shell("eve", "INSERT INTO t VALUES (1)"))
        self.deny(self.shell("eve", "DROP TABLE t"), "lacks the privilege schema")


class TableTest(AccessTest):
    """Reading and writing some tables alone."""

    def setUp(self):
        super().setUp()
        self.must(self.shell(
            "admin", "CREATE TABLE mine (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE secret (id INTEGER PRIMARY KEY, a)", "CREATE TABLE log_a (a)",
            "CREATE VIEW seen AS SELECT id, a FROM secret",
            "CREATE VIRTUAL TABLE words USING fts5(text)",
            "CREATE TABLE points (id INTEGER PRIMARY KEY, v BLOB)",
            "INSERT INTO secret VALUES (1, 'hidden-value')", "INSERT INTO mine VALUES (1, 1)",
            "INSERT INTO words VALUES ('hidden-value')"))
        for privilege, pattern in (("read", "mine"), ("write", "mine"), ("write", "Log_*"),
                                   ("watch", None)):
            on = ["--on", pattern] if pattern else []
            self.must(self.cairn("admin", "grant", "bob", privilege, *on))

    def test_what_is_granted_is_done(self):
        for sql in ("SELECT a FROM mine", "SELECT count(*) FROM MINE AS m", "SELECT 1 + 1",
                    "WITH c AS (SELECT a FROM mine) SELECT count(*) FROM c",
                    "SELECT value FROM json_each('[1, 2]')", "INSERT INTO log_a VALUES (1)",
                    "INSERT INTO mine (a) VALUES (2) RETURNING id",
                    "EXPLAIN QUERY PLAN SELECT a FROM mine", "VALUES (1), (2)"):
            with self.subTest(sql):
                self.must(self.shell("bob", sql))
        shown = json.loads(self.must(self.cairn("admin", "access", "--mode", "json")))
        self.assertIn({"principal": "bob", "privilege": "write", "tables": "log_*"}, shown)

    def test_nothing_else_is_read(self):
        """By any way that SQL has to a table. No answer holds what is hidden."""
        queries = (
            "SELECT a FROM secret", "SELECT a FROM main.secret", 'SELECT a FROM "SECRET"',
            "SELECT a FROM [secret]", "SELECT a FROM `Secret`", "SELECT count(*) FROM secret",
            "SELECT rowid FROM secret", "SELECT * FROM mine, secret", "SELECT 1 FROM mine, secret",
            "SELECT m.id FROM mine AS m JOIN secret USING (id)",
            "SELECT m.id FROM mine AS m NATURAL JOIN secret", "SELECT 1 FROM mine NATURAL LEFT JOIN secret",
            "SELECT 1 FROM mine AS m JOIN secret AS s ON s.id = m.id",
            "SELECT (SELECT max(a) FROM secret)", "SELECT EXISTS (SELECT 1 FROM secret)",
            "SELECT a FROM mine WHERE id IN (SELECT id FROM secret)",
            "SELECT a FROM mine WHERE id IN secret",
            "SELECT a FROM mine ORDER BY (SELECT a FROM secret)",
            "SELECT a FROM mine GROUP BY (SELECT a FROM secret)",
            "SELECT a FROM mine LIMIT (SELECT count(*) FROM secret)",
            "SELECT a FROM mine UNION SELECT a FROM secret",
            "SELECT a FROM mine EXCEPT SELECT a FROM secret",
            "WITH c AS (SELECT a FROM secret) SELECT a FROM c",
            "WITH c AS MATERIALIZED (SELECT a FROM secret) SELECT count(*) FROM c",
            "WITH mine AS (SELECT a FROM secret) SELECT a FROM mine",
            "WITH RECURSIVE c (a) AS (SELECT a FROM secret UNION SELECT a FROM c) SELECT a FROM c",
            "SELECT sum(id) OVER (ORDER BY (SELECT a FROM secret)) FROM mine",
            "SELECT a FROM (SELECT a FROM (SELECT a FROM secret))",
            "SELECT CASE WHEN (SELECT count(*) FROM secret) > 0 THEN 1 END",
            "SELECT json_group_array(a) FROM secret", "SELECT a FROM secret NOT INDEXED",
            "VALUES ((SELECT a FROM secret))", "SELECT 1 WHERE (SELECT a FROM secret) LIKE 'h%'",
            "SELECT a FROM seen", "SELECT count(*) FROM seen", "SELECT 1 FROM seen",
            "SELECT 7 FROM mine, seen", "SELECT EXISTS (SELECT 1 FROM seen)", "SELECT s.a FROM seen AS s",
            "SELECT text FROM words", "SELECT * FROM words WHERE words MATCH 'hidden'",
            "SELECT highlight(words, 0, '<', '>') FROM words WHERE words MATCH 'hidden'",
            "SELECT c0 FROM words_content", "SELECT block FROM words_data", "SELECT * FROM words_config",
            "SELECT term FROM words_idx", "SELECT * FROM words_docsize",
            "EXPLAIN SELECT a FROM secret", "EXPLAIN QUERY PLAN SELECT a FROM secret",
            "SELECT sql FROM sqlite_schema", "SELECT name FROM sqlite_master",
            "SELECT name FROM main.sqlite_schema", "SELECT count(*) FROM sqlite_schema",
            "SELECT * FROM sqlite_temp_master", "SELECT * FROM sqlite_sequence",
            "PRAGMA table_info(secret)", "PRAGMA table_list", "PRAGMA index_list(secret)",
            "PRAGMA foreign_key_list(secret)", "PRAGMA integrity_check", "PRAGMA quick_check",
            "PRAGMA foreign_key_check", "EXPLAIN PRAGMA table_info(secret)",
            "SELECT * FROM pragma_table_info('secret')", "SELECT * FROM pragma_table_list",
            "SELECT * FROM pragma_function_list", "SELECT * FROM pragma_integrity_check",
            "SELECT * FROM mine, pragma_table_xinfo('secret')",
            "SELECT * FROM dbstat", "SELECT * FROM sqlite_dbpage", "SELECT * FROM sqlite_stmt",
            "SELECT principal FROM _cairn_access", "SELECT * FROM _cairn_state",
            "SELECT 1 FROM mine NATURAL JOIN _cairn_access",
            "SELECT * FROM vector_top_k('secret', x'00', 1)")
        for sql in queries:
            with self.subTest(sql):
                done = self.shell("bob", sql)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertNotIn("hidden-value", done.stdout + done.stderr)
                self.assertEqual(done.stdout, "")

    def test_nothing_else_is_written(self):
        for sql in ("INSERT INTO secret VALUES (2, 2)", "UPDATE secret SET a = 1",
                    "DELETE FROM secret", "REPLACE INTO secret VALUES (1, 2)",
                    "INSERT INTO mine (a) SELECT a FROM secret", "UPDATE seen SET a = 1",
                    "INSERT INTO mine (a) VALUES (1) RETURNING (SELECT a FROM secret)",
                    "UPDATE mine SET a = s.a FROM secret AS s", "INSERT INTO words VALUES ('x')",
                    "DELETE FROM mine WHERE (SELECT a FROM secret) LIKE 'hidden%'",
                    "DELETE FROM words_content", "INSERT INTO log_a SELECT a FROM log_a",
                    "CREATE TABLE log_b (a)", "DROP TABLE mine", "ALTER TABLE mine ADD COLUMN b",
                    "CREATE VIEW log_v AS SELECT * FROM secret", "PRAGMA user_version = 9",
                    "CREATE TRIGGER r AFTER INSERT ON mine BEGIN SELECT 1; END", "ANALYZE",
                    "CREATE INDEX i ON mine (a)", "DELETE FROM _cairn_access"):
            with self.subTest(sql):
                done = self.shell("bob", sql)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertNotIn("hidden-value", done.stdout + done.stderr)
        self.assertEqual(self.node.sql("SELECT a FROM secret"), [{"a": "hidden-value"}])

    def test_a_view_is_read_by_the_rights_of_who_made_it(self):
        self.must(self.cairn("admin", "grant", "bob", "read", "--on", "seen"))
        self.assertIn("hidden-value", self.must(self.shell("bob", "SELECT a FROM seen")))
        self.deny(self.shell("bob", "SELECT a FROM secret"), "lacks the privilege read on secret")

    def test_versions_watches_and_queries_that_are_watched(self):
        bob = self.client_of("bob")

        def version(table):
            return self.raw(bob, "/cairn.v1.Database/GetVersion", field(1, table)).status
        self.assertEqual(version("mine"), 0)
        for table in ("secret", "", "seen"):
            self.assertEqual(version(table), PERMISSION_DENIED, table)
        self.assertEqual(self.raw(bob, "/cairn.v1.Database/Watch", b"").status, PERMISSION_DENIED)
        watched = self.raw(bob, "/cairn.v1.Database/WatchQuery", field(1, "SELECT a FROM secret"))
        self.assertEqual(watched.status, PERMISSION_DENIED)
        call = self.open_call(bob, "/cairn.v1.Database/WatchQuery")
        call.send(message(field(1, "SELECT a FROM mine")), end=True)
        self.assertIsNotNone(call.take_message())
        other = self.open_call(bob, "/cairn.v1.Database/WatchQuery")
        other.send(message(field(1, "SELECT a FROM mine")), end=True)
        self.assertIsNotNone(other.take_message())
        # The rights of somebody else change, and it goes on; then those of bob.
        self.grant("carol", "reader")
        self.must(self.shell("admin", "INSERT INTO mine (a) VALUES (5)"))
        self.assertIsNotNone(call.take_message())
        self.must(self.cairn("admin", "revoke", "bob", "read", "--on", "mine"))
        before = time.monotonic()
        call.finish()
        other.finish()
        self.assertLess(time.monotonic() - before, 1.5)

    def test_a_pattern_is_for_reading_and_writing(self):
        self.deny(self.cairn("admin", "grant", "bob", "security", "--on", "t"),
                  "read and write alone")
        self.deny(self.cairn("admin", "grant", "bob", "reader", "--on", "t"),
                  "read and write alone")


class StreamTest(AccessTest):
    def test_open_streams_end_within_a_second_of_a_revocation(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        for name in ("alice", "bob"):
            self.grant(name, "writer")
        watch = ("/cairn.v1.Database/Watch", b"")
        query = ("/cairn.v1.Database/WatchQuery", field(1, "SELECT count(*) FROM t"))
        session = ("/cairn.v1.Database/Session", None)
        calls = {}
        for name in ("alice", "bob"):
            for path, request in (watch, query, session):
                call = self.open_call(self.client_of(name), path)
                if request is not None:
                    call.send(message(request), end=True)
                self.assertIsNotNone(call.take_message(), path)  # it has begun
                calls[name, path] = call
        before = time.monotonic()
        self.revoke("alice", "writer")
        for (name, path), call in calls.items():
            if name == "alice":
                call.finish()
                self.assertTrue(call.closed, path)
        self.assertLess(time.monotonic() - before, 2.0)  # with the start of the program that revokes
        # Bob's go on.
        call = calls["bob", session[0]]
        insert = field(1, field(1, 7) + field(3, execute("INSERT INTO t VALUES (1)")))
        call.send(message(insert))
        self.assertIsNotNone(call.take_message())
        self.assertIsNotNone(calls["bob", watch[0]].take_message())

    def test_a_watch_of_the_program_says_why_it_ends(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"))
        self.grant("alice", "reader")
        said = open(self.directory / "watch", "w+", encoding="utf-8")
        self.addCleanup(said.close)
        watch = subprocess.Popen([harness.CAIRN, "watch", "--tls-dir", self.client_of("alice"),
                                  self.node.address, "--from", "snapshot", "--json"],
                                 stdout=said, stderr=said)
        self.addCleanup(watch.kill)
        wait_until(lambda: (self.directory / "watch").stat().st_size > 0, "it has begun")
        self.revoke("alice", "reader")
        wait_until(lambda: watch.poll() is not None, "it ends", 10)
        self.assertIn("principal:alice", (self.directory / "watch").read_text())

    def test_who_keeps_some_privileges_keeps_the_session(self):
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        self.grant("alice", "writer")
        self.grant("alice", "status")
        call = self.open_call(self.client_of("alice"), "/cairn.v1.Database/Session")
        self.assertIsNotNone(call.take_message())
        self.revoke("alice", "writer")
        call.send(message(field(1, field(1, 7) + field(3, execute("INSERT INTO t VALUES (1)")))))
        answer = fields(call.take_message(), 1)[0]
        self.assertIn(b"lacks the privilege write", answer)

    def test_a_query_of_a_session_ends_with_its_rights(self):
        self.grant("alice", "reader")
        self.grant("alice", "status")  # with which the Session itself goes on
        call = self.open_call(self.client_of("alice"), "/cairn.v1.Database/Session")
        self.assertIsNotNone(call.take_message())
        endless = ("WITH RECURSIVE c(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM c) "
                   "SELECT count(*) FROM c")
        call.send(message(field(1, field(1, 7) + field(4, field(1, statement(endless))))))
        before = time.monotonic()
        self.revoke("alice", "reader")
        answer = fields(call.take_message(), 1)[0]
        self.assertLess(time.monotonic() - before, 2.0)  # with the start of the program that revokes
        self.assertIn(b"lacks the privilege read", answer)
        # The Session is still there.
        call.send(message(field(1, field(1, 8) + field(4, field(1, statement("SELECT 1"))))))
        self.assertIn(b"lacks the privilege read", fields(call.take_message(), 1)[0])


class PrincipalTest(AccessTest):
    """What belongs to a principal is nobody else's."""
    count = 3

    def setUp(self):
        super().setUp()
        self.must(self.shell("admin", "CREATE TABLE t (a)"))
        for name in ("alice", "bob"):
            self.grant(name, "writer")

    def test_every_node_judges_alike_and_a_forwarded_write_is_that_of_its_client(self):
        for node in self.nodes:
            wait_until(lambda at=node: self.shell("alice", "INSERT INTO t VALUES (1)",
                                                  node=at).returncode == 0, "it is known")
            self.deny(self.shell("alice", "DROP TABLE t", node=node), "principal:alice lacks")
            self.deny(self.shell("eve", "SELECT 1", node=node), "principal:eve lacks the privilege")
        follower = next(node for node in self.nodes if not node.leads())
        self.deny(run_cairn("member", "transfer", "--tls-dir", self.client_of("alice"),
                            follower.address), "lacks the privilege membership")
        self.must(run_cairn("member", "transfer", "--tls-dir", self.admin, follower.address))

    def test_a_read_that_waits_for_the_revocation_is_judged_by_it(self):
        """A follower lags, and applies the revocation while the read waits for the log."""
        follower = next(node for node in self.nodes if not node.leads())
        self.node = self.await_leader()
        wait_until(lambda: self.shell("bob", "SELECT a FROM t", node=follower).returncode == 0,
                   "it is known")
        self.node, leader = follower, self.node
        call = self.open_call(self.client_of("bob"), "/cairn.v1.Database/Query")
        time.sleep(0.3)  # the call has begun
        follower.pause()
        self.node = leader
        self.revoke("bob", "writer")
        self.must(self.shell("admin", "INSERT INTO t VALUES ('hidden')"))
        call.send(message(field(1, statement("SELECT a FROM t"))), end=True)
        follower.resume()
        call.finish()
        self.assertEqual(call.status, PERMISSION_DENIED)
        self.assertNotIn(b"hidden", bytes(call.answer))

    def test_nobody_but_a_node_speaks_for_others(self):
        for extra in ([("cairn-principal", "principal:admin")],
                      [("cairn-forwarded", str(int(self.site.cluster, 16))),
                       ("cairn-principal", "principal:admin")]):
            call = self.raw(self.client_of("alice"), EXECUTE, execute("DROP TABLE t"), extra)
            self.assertEqual(call.status, PERMISSION_DENIED)
            self.assertIn("only nodes", call.text)
        # An origin in a message is not looked at, unless a node sends it.
        origin = field(15, field(1, "principal:admin"))
        call = self.open_call(self.client_of("alice"), "/cairn.v1.Database/Session")
        call.send(message(field(1, field(1, 7) + field(3, execute("DROP TABLE t")) + origin)),
                  end=True)
        answers = []
        while (one := call.take_message()) is not None:
            answers += fields(one, 1)
        self.assertIn(b"principal:alice lacks", answers[0])

    def test_a_prepared_transaction_is_that_of_who_prepared_it(self):
        service = "/transaction.DatabaseService/"
        alice, bob = self.client_of("alice"), self.client_of("bob")
        prepare = field(1, "tx") + field(2, "INSERT INTO t VALUES (2)")
        self.assertEqual(self.raw(alice, service + "Prepare", prepare).status, 0)
        for method, request in (("Commit", field(1, "tx")), ("Rollback", field(1, "tx")),
                                ("Prepare", prepare)):
            call = self.raw(bob, service + method, request)
            self.assertEqual(call.status, PERMISSION_DENIED, method)
            self.assertIn("another principal", call.text)
        ask = self.raw(bob, "/cairn.v1.Database/GetTransaction", field(1, "tx"))
        self.assertEqual(ask.status, PERMISSION_DENIED)
        self.assertEqual(self.raw(alice, "/cairn.v1.Database/GetTransaction",
                                  field(1, "tx")).status, 0)
        self.assertEqual(self.raw(alice, service + "Commit", field(1, "tx")).status, 0)

    def test_a_request_id_is_that_of_who_used_it(self):
        name = field(2, field(1, "the-session") + field(2, 1))
        insert = execute("INSERT INTO t VALUES (3)") + name
        self.assertEqual(self.raw(self.client_of("alice"), EXECUTE, insert).status, 0)
        self.assertNotEqual(self.raw(self.client_of("bob"), EXECUTE, insert).status, 0)
        self.assertEqual(self.raw(self.client_of("alice"), EXECUTE, insert).status, 0)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t WHERE a = 3"), [{"n": 1}])


if __name__ == "__main__":
    harness.main()
