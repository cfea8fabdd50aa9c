#!/usr/bin/env python3
"""Installs, runs, upgrades, removes and purges the package in a fresh Debian, made by debootstrap.

Needs root, debootstrap and a mirror of Debian. The fresh system is made once and kept under
/var/tmp/cairn-debootstrap; each run works on a copy. Exit status 77 (skipped) if something is missing.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BOUND_SECONDS, ROOT, free_ports, main, wait_until  # noqa: E402

BUILD = pathlib.Path(os.environ.get("CAIRN_BUILD", ROOT / "build"))
CACHE = pathlib.Path("/var/tmp/cairn-debootstrap")
# Stands in for systemd, which does not run in a changed root: it notes what it is told.
SYSTEMCTL = "#!/bin/sh\necho \"$@\" >> /systemctl.log\n"


def run(*command, check=True, seconds=600, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=seconds, check=False, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def missing():
    if os.geteuid() != 0:
        return "this needs root"
    for tool in ("debootstrap", "dpkg-deb", "cpack"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def base():
    """The system that runs are copied from."""
    root = CACHE / "bookworm"
    if root.exists():
        return root
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    growing = pathlib.Path(tempfile.mkdtemp(dir=CACHE))
    done = run("debootstrap", "--variant=minbase", "bookworm", growing,
               "http://deb.debian.org/debian", check=False, seconds=1200)
    if done.returncode != 0:
        shutil.rmtree(growing, ignore_errors=True)
        raise unittest.SkipTest(f"no fresh Debian: {(done.stderr or done.stdout)[-300:]}")
    growing.chmod(0o755)
    growing.rename(root)
    return root


class FreshRoot(unittest.TestCase):
    """One run through the life of the package: each step builds on the one before."""

    def setUp(self):
        why = missing()
        if why:
            self.skipTest(why)
        done = run(ROOT / "scripts" / "package", cwd=ROOT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="cairn-root.", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        run("cp", "-a", "--reflink=auto", f"{base()}/.", self.root)
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        # What apt fetches is kept for the next run.
        archives = CACHE / "archives"
        archives.mkdir(exist_ok=True)
        self.server = None
        self.addCleanup(self.stop)
        for kind, source, at in (("--bind", archives, "var/cache/apt/archives"),
                                 ("--bind", "/dev", "dev"), ("-tproc", "proc", "proc")):
            run("mount", kind, source, self.root / at)
            self.addCleanup(run, "umount", self.root / at, check=False)

    def inside(self, *command, **more):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
                       "LC_ALL": "C.UTF-8"}
        return run("chroot", self.root, *command, env=environment, **more)

    def put(self, package):
        """A package where apt inside finds it."""
        shutil.copy(package, self.root / "var/tmp")
        return f"/var/tmp/{pathlib.Path(package).name}"

    def next_version(self, package):
        """The same package under a version that is higher."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
            tree = pathlib.Path(directory) / "tree"
            run("dpkg-deb", "-R", package, tree)
            control = tree / "DEBIAN/control"
            text = control.read_text()
            version = next(line.split()[1] for line in text.splitlines() if line.startswith("Version:"))
            control.write_text(text.replace(f"Version: {version}", f"Version: {version}+1"))
            later = pathlib.Path(directory) / f"cairn_{version}+1_{package.stem.split('_')[-1]}.deb"
            run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, later)
            return self.put(later), f"{version}+1"

    def start(self):
        """Runs the server as its unit does: the user, the working directory, the configuration."""
        log = self.root / "server.log"
        with open(log, "ab") as out:
            self.server = subprocess.Popen(
                ["chroot", "--userspec=cairn:cairn", str(self.root), "/bin/sh", "-c",
                 "umask 077; cd /var/lib/cairn && exec /usr/bin/cairn server --config /etc/cairn/cairn.toml"],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        before = log.read_text().count(" serving on ")
        wait_until(lambda: self.server.poll() is not None or
                   log.read_text().count(" serving on ") > before, "the server listens")
        self.assertIsNone(self.server.poll(), log.read_text())

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.terminate()
            self.server.wait(timeout=BOUND_SECONDS)

    def sql(self, statement):
        done = self.inside("cairn", "shell", f"127.0.0.1:{self.port}", "--mode", "list", "-c", statement)
        return done.stdout.strip()

    def told(self):
        log = self.root / "systemctl.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def test_the_life_of_the_package(self):
        package = next((BUILD / "package").glob("cairn_*.deb"))
        self.install(package)
        self.run_on_fresh_data()
        self.with_systemd()
        self.upgrade(package)
        self.remove_and_purge()

    def install(self, package):
        self.inside("apt-get", "update", "-qq")
        done = self.inside("apt-get", "install", "-y", "--no-install-recommends", self.put(package))
        self.assertIn("systemctl enable --now cairn", done.stdout)
        self.assertRegex(self.inside("cairn", "--version").stdout, r"^cairn \d")
        self.assertIn(":/var/lib/cairn:", self.inside("getent", "passwd", "cairn").stdout)
        data = (self.root / "var/lib/cairn").stat()
        self.assertEqual((data.st_mode & 0o777, data.st_uid != 0), (0o750, True))
        self.assertEqual((self.root / "etc/cairn").stat().st_mode & 0o777, 0o750)
        self.inside("cairn", "config", "check", "/etc/cairn/cairn.toml")
        self.assertEqual(self.inside("dpkg", "--verify", "cairn").stdout, "")

    def run_on_fresh_data(self):
        # An operator's change of the configuration.
        self.port = free_ports(1)
        config = self.root / "etc/cairn/cairn.toml"
        config.write_text(config.read_text().replace("# port = 50051", f"port = {self.port}"))
        self.start()
        self.sql("CREATE TABLE t(a)")
        self.sql("INSERT INTO t VALUES (42)")
        database = self.root / "var/lib/cairn/cairn.db"
        self.assertEqual(database.stat().st_mode & 0o077, 0)
        self.stop()

    def with_systemd(self):
        systemctl = self.root / "bin/systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        (self.root / "run/systemd/system").mkdir(parents=True)

    def upgrade(self, package):
        later, version = self.next_version(package)
        changed = (self.root / "etc/cairn/cairn.toml").read_text()
        self.inside("apt-get", "install", "-y", later)
        self.assertEqual(self.inside("dpkg-query", "-W", "-f", "${Version}", "cairn").stdout, version)
        self.assertEqual((self.root / "etc/cairn/cairn.toml").read_text(), changed)
        self.assertEqual(self.told(), ["--system daemon-reload", "try-restart cairn.service"])
        self.start()
        self.assertIn("42", self.sql("SELECT a FROM t"))
        self.stop()

    def remove_and_purge(self):
        self.inside("apt-get", "remove", "-y", "cairn")
        self.assertEqual(self.told(), ["disable --now cairn.service", "--system daemon-reload"])
        self.assertFalse((self.root / "usr/bin/cairn").exists())
        self.assertTrue((self.root / "etc/cairn/cairn.toml").exists())
        done = self.inside("apt-get", "purge", "-y", "cairn")
        self.assertIn("the data stay in /var/lib/cairn", done.stdout)
        self.assertFalse((self.root / "etc/cairn").exists())
        self.assertTrue((self.root / "var/lib/cairn/cairn.db").exists())
        self.assertEqual(self.inside("dpkg-query", "-W", "cairn", check=False).returncode, 1)


if __name__ == "__main__":
    main()
