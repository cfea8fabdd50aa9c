"""Tokens between real processes: who is let in by one, who is not, and what ends with it."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time

import harness
from access_test import AccessTest, EXECUTE, execute, statement
from harness import CAIRN, run_cairn, wait_until
from raw_grpc import PERMISSION_DENIED, UNAUTHENTICATED, field, message
from tls_test import OPENSSL

QUERY = "/cairn.v1.Database/Query"
SELECT = field(1, statement("SELECT a FROM t"))
LIVE = "/cairn.v1.Database/WatchQuery"


def encoded(data):
    data = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenTest(AccessTest):
    def setUp(self):
        super().setUp()
        self.must(self.shell("admin", "CREATE TABLE t (a)", "INSERT INTO t VALUES ('hidden')"))
        # A client with the site's authority alone, as one that has a token and no certificate.
        self.bare = self.directory / "bare"
        self.bare.mkdir()
        (self.bare / "ca.crt").write_bytes((self.admin / "ca.crt").read_bytes())
        self.key = self.new_key("k1")

    def new_key(self, name):
        path = self.directory / f"{name}.pem"
        self.must(run_cairn("token", "keygen", path))
        return path

    def trust(self, name, key=None):
        self.must(self.cairn_token("trust", f"{key or self.key}.pub", "--id", name))

    def cairn_token(self, command, *arguments, tls=None):
        return run_cairn("token", command, "--tls-dir", tls or self.admin, self.node.address,
                         *arguments)

    def issue(self, name, *flags, key=None, key_name="k1", ttl="1h"):
        """A file with a token."""
        self.issued = getattr(self, "issued", 0) + 1
        path = self.directory / f"token-{self.issued}"
        self.must(run_cairn("token", "issue", "--key", key or self.key, "--id", key_name, "--name",
                            name, "--cluster", self.site.cluster, "--ttl", ttl, "--out", path,
                            *flags))
        return path

    def by_token(self, path, *commands, node=None, timeout_ms=10000):
        arguments = []
        for command in commands:
            arguments += ["-c", command]
        return run_cairn("shell", "--tls-dir", self.bare, "--token-file", path,
                         (node or self.node).address, "--mode", "json", "--timeout-ms", timeout_ms,
                         *arguments)

    def authorized(self, text, path=QUERY, request=SELECT, tls=None):
        """A call with this authorization, over a connection with the certificate of nobody."""
        return self.raw(tls or self.client_of("nobody"), path, request,
                        [("authorization", text)])

    def sign(self, header, claims, key=None):
        text = f"{encoded(header)}.{encoded(claims)}"
        signed = self.directory / "signed"
        signed.write_text(text)
        done = subprocess.run([OPENSSL, "pkeyutl", "-sign", "-rawin", "-inkey", key or self.key,
                               "-in", signed], capture_output=True, check=True, timeout=60)
        return f"{text}.{encoded(done.stdout)}"


class WhoIsLetInTest(TokenTest):
    def test_a_client_without_a_certificate_does_what_the_name_in_its_token_may(self):
        token = self.issue("alice")
        self.deny(self.by_token(token, "SELECT a FROM t"), "the key 'k1'", "cairn token trust")
        self.trust("k1")
        self.deny(self.by_token(token, "SELECT a FROM t"), "principal:alice lacks the privilege")
        self.grant("alice", "writer")
        self.must(self.by_token(token, "INSERT INTO t VALUES (1)", "SELECT a FROM t"))
        self.deny(self.by_token(token, "DROP TABLE t"), "lacks the privilege schema")
        told = self.must(run_cairn("access", "--tls-dir", self.bare, "--token-file", token,
                                   self.node.address))
        self.assertIn("you are principal:alice and may: read, write, watch, status", told)
        self.assertEqual(os.stat(token).st_mode & 0o777, 0o600)
        # A token that is limited does less than its name, and no more.
        limited = self.issue("alice", "--role", "admin")
        self.deny(self.by_token(limited, "DROP TABLE t"), "lacks the privilege schema")
        limited = self.issue("alice", "--role", "reader")
        self.must(self.by_token(limited, "SELECT a FROM t"))
        self.deny(self.by_token(limited, "INSERT INTO t VALUES (2)"),
                  "principal:alice/reader lacks the privilege write",
                  "its token is limited to reader")
        shown = self.must(run_cairn("token", "inspect", limited, "--key", f"{self.key}.pub"))
        self.assertIn("principal  alice\nrole       reader\n", shown)
        # By the environment, and to a client with a certificate of somebody else.
        environment = {"CAIRN_TLS_DIR": str(self.client_of("nobody")),
                       "CAIRN_TOKEN_FILE": str(limited)}
        done = subprocess.run([CAIRN, "access", self.node.address],
                              env={**os.environ, **environment}, capture_output=True, text=True,
                              timeout=60, check=True)
        self.assertIn("principal:alice/reader and may: read, watch, status", done.stdout)

    def test_without_either_nobody_is_let_in(self):
        self.deny(run_cairn("shell", "--tls-dir", self.bare, self.node.address, "-c", "SELECT 1"),
                  "no certificate and no token")

    def test_a_token_is_no_node(self):
        self.trust("k1")
        self.grant("alice", "admin")
        bearer = "Bearer " + self.issue("alice").read_text().strip()
        for path, extra in (("/cairn.internal.Peer/Join", []), ("/cairn.internal.Peer/Probe", []),
                            (EXECUTE, [("cairn-principal", "principal:admin")]),
                            (EXECUTE, [("cairn-forwarded", str(int(self.site.cluster, 16)))])):
            call = self.raw(self.client_of("nobody"), path, execute("DROP TABLE t"),
                            [("authorization", bearer), *extra])
            self.assertEqual(call.status, PERMISSION_DENIED, path)
            self.assertIn("only nodes", call.text)
            # A node's certificate does not help whoever shows a token.
            call = self.raw(self.site.directory / "node-1", path, execute("DROP TABLE t"),
                            [("authorization", bearer), *extra])
            self.assertEqual(call.status, PERMISSION_DENIED, path)
        self.deny(run_cairn("token", "issue", "--key", self.key, "--name", "admin", "--cluster",
                            self.site.cluster), "principal admin")

    def test_every_program_of_cairn_takes_a_token(self):
        """Also those that use the client library, by ClientOptions::token_file."""
        self.trust("k1")
        self.grant("alice", "admin")
        token = self.issue("alice")
        flags = ["--tls-dir", self.bare, "--token-file", token]
        rows = self.directory / "t.csv"
        rows.write_text("a\nloaded\n")
        self.must(run_cairn("load", *flags, self.node.address, rows, "--table", "t"))
        self.must(run_cairn("backup", *flags, self.node.address, self.directory / "copy.db"))
        self.assertIn("loaded", self.must(run_cairn("dump", *flags, self.node.address)))
        self.assertIn("voter", self.must(run_cairn("member", "list", *flags, self.node.address)))
        self.must(run_cairn("events", *flags, self.node.address))
        self.must(run_cairn("doctor", *flags, self.node.address))
        told = self.directory / "watch"
        with open(told, "w", encoding="utf-8") as said:
            watch = subprocess.Popen([CAIRN, "watch", *map(str, flags), self.node.address, "--from",
                                      "snapshot", "--json"], stdout=said, stderr=said)
        self.addCleanup(watch.kill)
        wait_until(lambda: told.stat().st_size > 0, "the watch has begun")
        self.must(self.cairn_token("revoke", "--name", "alice"))
        wait_until(lambda: watch.poll() is not None, "the watch ends", 10)
        self.assertIn("revoked", told.read_text())

    def test_a_session_ends_with_its_token(self):
        self.trust("k1")
        self.grant("alice", "writer")
        token = self.issue("alice")
        call = self.open_call(self.client_of("nobody"), "/cairn.v1.Database/Session",
                              [("authorization", "Bearer " + token.read_text().strip())])
        self.assertIsNotNone(call.take_message())
        self.must(self.cairn_token("revoke", "--token", self.id_of(token)))
        began = time.monotonic()
        while call.take_message() is not None:
            pass
        self.assertLess(time.monotonic() - began, 2)

    def test_keys_overlap_and_are_distrusted(self):
        self.trust("k1")
        self.trust("k1")
        other = self.new_key("k2")
        self.deny(self.cairn_token("trust", f"{other}.pub", "--id", "k1"), "another key")
        self.trust("k2", other)
        self.grant("alice", "reader")
        tokens = [self.issue("alice"), self.issue("alice", key=other, key_name="k2")]
        for token in tokens:
            self.must(self.by_token(token, "SELECT a FROM t"))
        self.must(self.cairn_token("distrust", "k1"))
        self.deny(self.by_token(tokens[0], "SELECT a FROM t"), "not trusted")
        self.must(self.by_token(tokens[1], "SELECT a FROM t"))
        shown = json.loads(self.must(self.cairn_token("keys", "--mode", "json")))
        self.assertEqual([(row["what"], row["name"]) for row in shown], [("key trusted", "k2")])
        # Only who may grant says whom to believe, and sees it.
        for arguments in (("trust", f"{self.key}.pub", "--id", "k3"), ("distrust", "k2"),
                          ("revoke", "--name", "alice")):
            self.deny(self.cairn_token(*arguments, tls=self.client_of("alice")),
                      "lacks the privilege security")
        self.assertEqual(json.loads(self.must(self.cairn_token(
            "keys", "--mode", "json", tls=self.client_of("alice")))), [])

    def test_a_node_that_was_started_again_believes_the_same(self):
        self.trust("k1")
        self.grant("alice", "reader")
        token, revoked = self.issue("alice"), self.issue("alice")
        self.must(self.cairn_token("revoke", "--token", self.id_of(revoked)))
        self.node.kill()
        self.node.start()
        self.await_leader()
        self.must(self.by_token(token, "SELECT a FROM t"))
        self.deny(self.by_token(revoked, "SELECT a FROM t"), "is revoked")

    def id_of(self, token):
        shown = self.must(run_cairn("token", "inspect", token))
        return next(line.split()[1] for line in shown.splitlines() if line.startswith("id "))


class EndsTest(TokenTest):
    def setUp(self):
        super().setUp()
        self.trust("k1")
        self.grant("alice", "reader")

    def live(self, token):
        call = self.open_call(self.client_of("nobody"), LIVE,
                              [("authorization", "Bearer " + token.read_text().strip())])
        call.send(message(field(1, "SELECT a FROM t")))
        self.assertIsNotNone(call.take_message())
        return call

    def ended_after(self, call):
        began = time.monotonic()
        while call.take_message() is not None:
            pass
        return time.monotonic() - began

    def test_open_streams_end_within_a_second_of_a_revocation(self):
        token, other = self.issue("alice"), self.issue("alice")
        for revoke in (("revoke", "--token", WhoIsLetInTest.id_of(self, token)),
                       ("revoke", "--name", "alice"), ("distrust", "k1")):
            with self.subTest(revoke[1]):
                call = self.live(token)
                began = time.monotonic()
                self.must(self.cairn_token(*revoke))
                self.ended_after(call)
                self.assertLess(time.monotonic() - began, 2)
                self.deny(self.by_token(token, "SELECT a FROM t"), "error")
            if revoke[0] == "revoke":
                token = other if revoke[1] == "--token" else self.later_token()

    def later_token(self):
        """A token that is issued after the revocation of all that came before."""
        wait_until(lambda: self.by_token(self.issue("alice"), "SELECT 1").returncode == 0,
                   "a new token counts")
        return self.issue("alice")

    def test_open_streams_end_when_the_token_expires(self):
        token = self.issue("alice", ttl="4s")
        call = self.live(token)
        self.ended_after(call)
        self.deny(self.by_token(token, "SELECT a FROM t"), "expired")


class AttemptsTest(TokenTest):
    def attempts(self):
        """What nobody is let in by: texts for the metadata `authorization`, by what they are."""
        now = int(time.time())
        header = {"alg": "EdDSA", "kid": "k1", "typ": "JWT"}
        claims = {"aud": f"cairn://{self.site.cluster}", "exp": now + 600, "iat": now - 5,
                  "jti": "x", "sub": "alice"}
        public = (self.directory / "k1.pem.pub").read_bytes()

        def text(head=None, said=None):
            return encoded(json.dumps({**header, **(head or {})})) + "." + encoded(
                json.dumps({**claims, **(said or {})}))

        yield "good", self.sign(json.dumps(header), json.dumps(claims))
        for alg in ("none", "None", "NONE", "HS256", "HS384", "HS512", "RS256", "ES256", "PS256",
                    "eddsa", "Ed25519", ""):
            yield f"alg {alg}, signed", self.sign(json.dumps({**header, "alg": alg}),
                                                  json.dumps(claims))
            yield f"alg {alg}, no signature", text({"alg": alg}) + "."
            yield f"alg {alg}, two parts", text({"alg": alg})
            for digest in ("sha256", "sha512"):
                mac = hmac.new(public, text({"alg": alg}).encode(), getattr(hashlib, digest))
                yield (f"alg {alg}, {digest} with the public key",
                       text({"alg": alg}) + "." + encoded(mac.digest()))
        for kid in ("k2", "K1", "k1 ", "", "../k1.pem", "/dev/null", "k1\u0000", "' OR 1=1 --", "k" * 65,
                    None, 1, ["k1"], {"k1": 1}):
            yield f"kid {kid!r}", self.sign(json.dumps({**header, "kid": kid}), json.dumps(claims))
        for more in ({"crit": ["exp"]}, {"jku": "https://example.org"}, {"x5u": "https://example.org"},
                     {"jwk": {"kty": "OKP"}}, {"b64": False}, {"typ": "JOSE"}, {"zip": "DEF"},
                     {"cty": "JWT"}, {"x5c": []}):
            yield f"header {more}", self.sign(json.dumps({**header, **more}), json.dumps(claims))
        for said in ({"exp": now - 1}, {"exp": now - 10 ** 6}, {"exp": 0}, {"exp": -1},
                     {"exp": str(now + 600)}, {"exp": now + 600.5}, {"exp": None}, {"exp": 10 ** 15},
                     {"exp": 10 ** 25}, {"exp": True}, {"exp": [now + 600]},
                     {"exp": now + 400 * 86400}, {"iat": now + 300}, {"iat": None}, {"iat": "0"},
                     {"iat": -5}, {"iat": 0}, {"nbf": now + 300}, {"nbf": "0"}, {"nbf": now + 60.5},
                     {"aud": "cairn://00000000000000ff"}, {"aud": self.site.cluster}, {"aud": ""},
                     {"aud": [f"cairn://{self.site.cluster}"]}, {"aud": None}, {"aud": "*"},
                     {"aud": f"cairn://{self.site.cluster}/node/1"},
                     {"aud": f"cairn://{self.site.cluster.upper()}x"}, {"sub": "admin"},
                     {"sub": "admin", "role": "admin"}, {"sub": ""}, {"sub": "*"}, {"sub": "node:1"},
                     {"sub": "principal:alice"}, {"sub": "alice/admin"}, {"sub": "alice\u0000"},
                     {"sub": "\u0430lice"}, {"sub": "alic\u00e9"}, {"sub": " alice"},
                     {"sub": "alice "}, {"sub": "al\nice"}, {"sub": ["alice"]}, {"sub": None},
                     {"sub": {"name": "alice"}}, {"sub": 1}, {"sub": "a" * 65}, {"jti": ""},
                     {"jti": None}, {"jti": "a b"}, {"role": "emperor"}, {"role": ""},
                     {"role": None}, {"role": ["reader"]}, {"role": "reader/admin"},
                     {"role": "READER"}, {"role": "reader "}, {"a": "rw"}, {"p": {}}, {"iss": "x"},
                     {"admin": True}, {"scope": "*"}, {"cairn-principal": "principal:admin"},
                     {"nested": {"a": [1]}}, {"": ""}, {"Sub": "alice"}):
            yield f"claims {said}", self.sign(json.dumps(header), json.dumps({**claims, **said}))
        for gone in claims:
            left = {name: value for name, value in claims.items() if name != gone}
            yield f"without {gone}", self.sign(json.dumps(header), json.dumps(left))
        whole = json.dumps(claims)
        for name, bad in (("twice", whole + whole), ("trailing", whole + " x"),
                          ("two subs", whole[:-1] + ',"sub":"alice"}'),
                          ("two exps", '{"exp":1,' + whole[1:]), ("array", f"[{whole}]"),
                          ("nothing", ""), ("null", "null"), ("open", whole[:-1]),
                          ("deep", "[" * 1500), ("deeper", '{"a":' * 300), ("comment", whole + "//"),
                          ("latin", b'{"sub":"\xff"}'), ("quotes", whole.replace('"', "'")),
                          ("escaped", whole[:-1] + ',"\\u0073ub":"admin"}'),
                          ("nul", whole + "\0")):
            yield f"claims {name}", self.sign(json.dumps(header), bad)
        other = self.new_key("stranger")
        yield "another key", self.sign(json.dumps(header), whole, other)
        yield "a key that was never trusted", self.sign(json.dumps({**header, "kid": "stranger"}),
                                                        whole, other)
        good = self.sign(json.dumps(header), json.dumps({**claims, "jti": "y"}))
        first, second, signature = good.split(".")
        for name, bad in (("padded", good + "="), ("four parts", good + "." + signature),
                          ("empty parts", ".."), ("no token", ""), ("one part", first),
                          ("signature cut", good[:-1]), ("signature longer", good + "AA"),
                          ("zero signature", f"{first}.{second}.{'A' * 86}"),
                          ("claims of another", f"{first}.{encoded(whole)}.{signature}"),
                          ("5 KiB", "A" * 5000), ("7 KiB", "A" * 3000 + "." + "A" * 4000 + ".A"),
                          ("standard base64", good.replace("-", "+").replace("_", "/") + "+/"),
                          ("spaces within", f"{first} .{second}.{signature}"),
                          ("two tokens", f"{good} {good}"), ("list", f"{good},{good}")):
            yield name, bad
        yield "authorization without a scheme", (good,)
        for scheme in ("bearer", "BEARER", "Basic", "Digest", "Token", "Negotiate", "Bearer,"):
            yield f"scheme {scheme}", (f"{scheme} {good}",)
        yield "basic admin", ("Basic " + base64.b64encode(b"admin:admin").decode(),)
        yield "basic alice", ("Basic " + base64.b64encode(b"alice:").decode(),)
        yield "no authorization", ("",)

    def test_nobody_gets_past_the_door(self):
        self.trust("k1")
        self.grant("alice", "writer")
        count = 0
        for what, text in self.attempts():
            authorization = text[0] if isinstance(text, tuple) else "Bearer " + text
            call = self.authorized(authorization)
            with self.subTest(what):
                if what == "good":
                    self.assertEqual(call.status, 0, call.text)
                    continue
                self.assertEqual(call.status, UNAUTHENTICATED, call.text)
                self.assertEqual(bytes(call.answer), b"")
            # The door of writes is the same one, also beside a certificate that may do all.
            call = self.authorized(authorization, EXECUTE, execute("DROP TABLE t"), self.admin)
            with self.subTest(what, write=True):
                self.assertEqual(call.status, UNAUTHENTICATED, call.text)
            count += 2
        two = [("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")]
        self.assertEqual(self.raw(self.admin, QUERY, SELECT, two).status, UNAUTHENTICATED)
        print(f"attempts to get past the door with tokens: {count + 1}, refused: {count + 1}")
        self.assertGreater(count, 200)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])
        log = self.node.log
        self.assertNotIn("eyJ", log)

    def test_keys_and_tokens_that_others_may_read_are_refused(self):
        token = self.issue("alice")
        os.chmod(token, 0o644)
        self.deny(self.by_token(token, "SELECT 1"), "chmod 600")
        os.chmod(self.key, 0o644)
        self.deny(run_cairn("token", "issue", "--key", self.key, "--name", "alice", "--cluster",
                            self.site.cluster), "chmod 600")
        self.deny(run_cairn("token", "keygen", self.key), "is there already")
        self.deny(run_cairn("shell", "--token-file", token, self.node.address, "-c", "SELECT 1"),
                  "over TLS alone")


class ForwardTest(TokenTest):
    count = 3

    def test_a_follower_passes_on_the_principal_and_learns_of_revocations(self):
        self.trust("k1")
        self.grant("alice", "writer")
        token, limited = self.issue("alice"), self.issue("alice", "--role", "reader")
        leader = self.await_leader()
        followers = [node for node in self.nodes if node is not leader]
        for node in followers:
            wait_until(lambda node=node: self.by_token(token, "SELECT a FROM t",
                                                       node=node).returncode == 0, "it is known")
            self.must(self.by_token(token, "INSERT INTO t VALUES (1)", node=node))
            self.deny(self.by_token(limited, "INSERT INTO t VALUES (2)", node=node),
                      "principal:alice/reader lacks the privilege write")
        self.must(self.cairn_token("revoke", "--name", "alice"))
        for node in self.nodes:
            wait_until(lambda node=node: "are revoked" in self.by_token(
                token, "SELECT a FROM t", node=node).stderr, "the revocation is known")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 3}])


if __name__ == "__main__":
    harness.main()
