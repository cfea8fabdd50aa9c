"""The commands of the README work, in order, and print what the README shows."""
import os
import re
import signal
import subprocess

import harness
from harness import CAIRN, ROOT, CairnTest, free_ports, wait_until

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    """(kind, text) of each block, in order."""
    return BLOCK.findall((ROOT / name).read_text())


def without_what_varies(text):
    """Removes numbers, the widths of columns that they cause, and the name of the leader."""
    text = re.sub(r"\b(leader|follower|replicate|probe)\b", "ROLE", text)
    text = re.sub(r"\d+", "0", text)
    return re.sub(r"[─ ]+", " ", text).strip()


class Readme(CairnTest):
    def setUp(self):
        super().setUp()
        self.base = free_ports(3)
        (self.directory / "build").mkdir()
        (self.directory / "build" / "cairn").symlink_to(CAIRN)
        self.server = None

    def tearDown(self):
        self.stop_server()
        super().tearDown()

    def stop_server(self):
        """Ends the server as Ctrl-C does."""
        if self.server is not None:
            server, self.server = self.server, None
            server.send_signal(signal.SIGINT)
            self.assertEqual(server.wait(timeout=harness.BOUND_SECONDS), 0)

    def start_server(self, command, listens):
        self.stop_server()
        output_path = self.directory / "server.out"
        with open(output_path, "wb") as output:
            self.server = subprocess.Popen(command.split(), cwd=self.directory, stdout=output,
                                           stderr=output, stdin=subprocess.DEVNULL)

        def started():
            self.assertIsNone(self.server.poll(), output_path.read_text())
            return listens in output_path.read_text()
        wait_until(started, f"{command} listens")

    def run_block(self, text):
        """Returns what the block prints."""
        for i in range(3):
            text = text.replace(str(50051 + i), str(self.base + i))
        if text.startswith("make run ARGS=--once"):
            # The caller of this test has installed and built.
            environment = {**os.environ, "CAIRN_BIN": CAIRN, "CAIRN_BASE_PORT": str(self.base),
                           "CAIRN_RUN_DIR": str(self.directory / "run")}
            done = subprocess.run([ROOT / "scripts/run", "--once"], env=environment, text=True,
                                  capture_output=True, timeout=60, check=False,
                                  stdin=subprocess.DEVNULL)
            self.assert_passes(done)
            return done.stdout
        if text.startswith("build/cairn server"):
            self.start_server(text, " serving on ")
            return ""
        if text.startswith("build/cairn dev"):
            self.start_server(text, "ready")
            return ""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.directory, text=True,
                              capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        self.assert_passes(done)
        return done.stdout

    def test_the_commands_work_and_print_what_is_shown(self):
        printed = None
        compared = 0
        for kind, text in blocks("README.md"):
            if kind == "sh":
                printed = self.run_block(text)
                listing = "member list" in text
            elif printed:
                for i in range(3):
                    printed = printed.replace(str(self.base + i), str(50051 + i))
                same = without_what_varies if listing else str.strip
                self.assertEqual(same(printed), same(text))
                printed = None
                compared += 1
        self.assertGreaterEqual(compared, 2)

    def test_both_languages_show_the_same(self):
        self.assertEqual(blocks("README.md"), blocks("README_ZH.md"))


if __name__ == "__main__":
    harness.main()
