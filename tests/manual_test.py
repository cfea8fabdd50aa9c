"""The manual pages and the completion of shells tell of every command and every flag."""
import re
import shutil
import subprocess
import unittest

from harness import CairnTest, main, run_cairn


def commands():
    """Every command with its flags, read from --help: {"member add": {"--help", ...}}."""
    found = {}

    def look(path):
        text = run_cairn(*path, "--help").stdout
        found[" ".join(path)] = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", "\n".join(
            line.split("  ")[1] if line.startswith("  -") else "" for line in text.splitlines())))
        part = text.split("Subcommands:")
        for line in part[1].splitlines() if len(part) > 1 else []:
            name = re.match(r"  ([a-z][a-z-]*)(\s|$)", line)
            if name:
                look([*path, name.group(1)])
    look([])
    return found


class Manual(CairnTest):
    @classmethod
    def setUpClass(cls):
        cls.commands = commands()

    def test_the_help_was_understood(self):
        self.assertIn("member add", self.commands)
        self.assertIn("--election-timeout-ms", self.commands["server"])
        self.assertGreater(sum(len(flags) for flags in self.commands.values()), 80)

    def test_every_command_has_a_page_with_all_its_flags(self):
        self.assertEqual(run_cairn("manual", self.directory).returncode, 0)
        overview = (self.directory / "cairn.1").read_text().replace("\\-", "-")
        for path, flags in self.commands.items():
            top = path.split(" ")[0]
            page = overview
            if top:
                self.assertIn(f"cairn-{top} (1)", overview)
                page = (self.directory / f"cairn-{top}.1").read_text().replace("\\-", "-")
                self.assertIn(f"cairn {path}", page)
            for flag in flags:
                with self.subTest(command=path, flag=flag):
                    self.assertRegex(page, re.escape(flag) + r"(?![\w-])")
        settings = (self.directory / "cairn.toml.5").read_text().replace("\\-", "-")
        for flag in self.commands["server"] - {"--help", "--config"}:
            self.assertIn(f"\n\\fB{flag[2:]}\\fR = ", settings)

    def test_troff_understands_the_pages(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        run_cairn("manual", self.directory)
        for page in sorted(self.directory.glob("*.[15]")):
            done = subprocess.run(["groff", "-man", "-ww", "-z", page], capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page.name)

    def test_pages_go_only_where_they_can_be_written(self):
        done = run_cairn("manual", self.directory / "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write", done.stderr)


class Completion(CairnTest):
    def complete(self, *words):
        """What bash offers for the last of these words."""
        quoted = " ".join(f"'{word}'" for word in words)
        script = (f"source <('{self.program}' completion bash)\nCOMP_WORDS=({quoted})\n"
                  f"COMP_CWORD={len(words) - 1}\n_cairn\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30,
                              cwd=self.directory, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return set(done.stdout.split())

    def setUp(self):
        super().setUp()
        from harness import CAIRN
        self.program = CAIRN

    def test_bash_completes_every_command_and_flag(self):
        for path, flags in commands().items():
            words = path.split() if path else []
            with self.subTest(command=path):
                self.assertEqual(self.complete("cairn", *words, "--"), flags)
                if path:
                    self.assertIn(words[-1], self.complete("cairn", *words[:-1], words[-1][:2]))

    def test_bash_completes_files_after_a_flag_that_takes_a_value(self):
        (self.directory / "site.toml").write_text("")
        self.assertEqual(self.complete("cairn", "server", "--config", "si"), {"site.toml"})
        self.assertEqual(self.complete("cairn", "config", "check", "si"), {"site.toml"})

    def test_zsh_has_every_flag(self):
        script = run_cairn("completion", "zsh").stdout
        self.assertTrue(script.startswith("#compdef cairn\n"))
        for path, flags in commands().items():
            block = script.split(f'("{" ".join(["cairn", *path.split()])}")\n', 1)[1].split(" ) ;;")[0]
            for flag in flags:
                self.assertIn(f"'{flag}:", block)
        if shutil.which("zsh"):
            done = subprocess.run(["zsh", "-n"], input=script, capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_there_are_two_shells(self):
        self.assertEqual(run_cairn("completion", "fish").returncode, 2)


if __name__ == "__main__":
    main()
