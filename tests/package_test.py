"""The packages for Debian: what they hold, and what lintian says. Installing and removing them takes a
root file system of its own: tests/package/fresh_root.py (make test-package)."""
import os
import pathlib
import shutil
import subprocess
import unittest

from harness import ROOT, CairnTest, main, run_cairn

BUILD = pathlib.Path(os.environ.get("CAIRN_BUILD", ROOT / "build"))


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=200,
                          check=False, **more)


class Packages(CairnTest):
    @classmethod
    def setUpClass(cls):
        for tool in ("dpkg-deb", "dpkg-shlibdeps", "cpack"):
            if not shutil.which(tool):
                raise unittest.SkipTest(f"{tool} is not installed")
        done = run(ROOT / "scripts" / "package", cwd=ROOT)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        cls.packages = {path.name.split("_")[0]: path for path in (BUILD / "package").glob("*.deb")}

    def contents(self, package):
        """{path: mode} of the files."""
        lines = run("dpkg-deb", "-c", self.packages[package]).stdout.splitlines()
        return {line.split()[5].lstrip("."): line.split()[0] for line in lines
                if not line.startswith("d")}

    def field(self, package, name):
        return run("dpkg-deb", "-f", self.packages[package], name).stdout.strip()

    def test_there_are_three(self):
        self.assertEqual(set(self.packages), {"cairn", "libcairn-dev", "cairn-sqlite"})
        version = run_cairn("--version").stdout.split()[1]
        for package in self.packages:
            self.assertEqual(self.field(package, "Version"), version)

    def test_the_server_comes_with_all_that_it_needs(self):
        files = self.contents("cairn")
        for path in ("/usr/bin/cairn", "/lib/systemd/system/cairn.service", "/etc/cairn/cairn.toml",
                     "/usr/share/man/man1/cairn.1.gz", "/usr/share/man/man1/cairn-server.1.gz",
                     "/usr/share/man/man5/cairn.toml.5.gz",
                     "/usr/share/bash-completion/completions/cairn",
                     "/usr/share/zsh/vendor-completions/_cairn", "/usr/share/doc/cairn/copyright",
                     "/usr/share/doc/cairn/changelog.gz"):
            self.assertIn(path, files)
        self.assertFalse([path for path in files if path.endswith((".a", ".h", ".so"))])
        self.assertEqual(files["/usr/bin/cairn"], "-rwxr-xr-x")
        self.assertEqual(files["/etc/cairn/cairn.toml"], "-rw-r--r--")
        for needed in ("libc6", "libssl3", "adduser"):
            self.assertIn(needed, self.field("cairn", "Depends"))

    def test_the_configuration_is_the_one_that_the_program_makes(self):
        root = self.directory / "root"
        self.assertEqual(run("dpkg-deb", "-R", self.packages["cairn"], root).returncode, 0)
        made = run_cairn("config", "default", "db=/var/lib/cairn/cairn.db").stdout
        self.assertEqual((root / "usr/share/doc/cairn/cairn.toml").read_text(), made)
        # What operators change is the same in each version, so that no upgrade asks them.
        shipped = root / "etc/cairn/cairn.toml"
        self.assertEqual(shipped.read_text(), (ROOT / "packaging/cairn.toml").read_text())
        self.assertEqual((root / "DEBIAN/conffiles").read_text(), "/etc/cairn/cairn.toml\n")
        checked = run_cairn("config", "check", shipped)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        unit = (root / "lib/systemd/system/cairn.service").read_text()
        self.assertIn("ExecStart=/usr/bin/cairn server --config /etc/cairn/cairn.toml\n", unit)
        for script in ("postinst", "prerm", "postrm"):
            done = run("sh", "-n", root / "DEBIAN" / script)
            self.assertEqual((done.returncode, done.stderr), (0, ""), script)
            self.assertTrue(os.access(root / "DEBIAN" / script, os.X_OK))

    def test_the_client_is_for_programs_that_are_compiled(self):
        files = self.contents("libcairn-dev")
        for name in ("/usr/include/cairn/client.h", "/cmake/Cairn/CairnConfig.cmake", "/libcairn_client.a"):
            self.assertTrue([path for path in files if path.endswith(name)], name)
        self.assertFalse([path for path in files if path.startswith(("/usr/bin", "/etc", "/lib/"))])

    def test_the_extension_needs_the_c_library_alone(self):
        files = self.contents("cairn-sqlite")
        self.assertTrue([path for path in files if path.endswith("/cairn/cairn_sqlite.so")])
        depends = {part.split()[0] for part in self.field("cairn-sqlite", "Depends").split(",")}
        self.assertEqual(depends, {"libc6"})

    def test_lintian_finds_no_error(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed")
        done = run("lintian", "--tag-display-limit", "0", "--fail-on", "none", *self.packages.values())
        # Warnings stay: without debhelper the scripts call systemctl themselves.
        self.assertEqual([line for line in done.stdout.splitlines() if line.startswith("E:")], [])


if __name__ == "__main__":
    main()
