"""Every test that a page names exists."""
import re
import unittest

import harness

ROOT = harness.ROOT


class TestsByName(unittest.TestCase):
    def test_every_name_is_a_test(self):
        pages = ("docs/internals/testing.md", "docs/internals/failures.md",
                 "docs/internals/state_machine.md")
        page = "\n".join((ROOT / name).read_text() for name in pages)
        names = re.findall(r"`([^`]+)`", page)
        cases = set()
        for path in (path for top in ("src", "sim", "testing")
                     for path in (ROOT / top).glob("**/*_test.cc")):
            for suite, name in re.findall(r"^(?:TEST|TEST_F|TEST_P|RC_GTEST_PROP)\(\s*(\w+),\s*(\w+)",
                                          path.read_text(), re.MULTILINE):
                cases.add(f"{suite}.{name}")
        verify = (ROOT / "verify.sh").read_text()
        checked = 0
        for name in names:
            with self.subTest(name):
                if name.endswith("_test.py") or name.startswith("make ") or "*" in name:
                    continue
                if ": " in name and name.startswith("verify"):
                    self.assertTrue(f"scenario_{name.split(': ')[1]}()" in verify)
                elif ": " in name:
                    file, case = name.split(": ")
                    self.assertTrue(f"def {case}(" in (ROOT / "tests" / file).read_text())
                elif re.fullmatch(r"\d\d_\w+\.txt", name):
                    self.assertTrue((ROOT / "src/raft/testdata/scenarios" / name).exists())
                elif re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", name):
                    self.assertTrue(name in cases)
                else:
                    continue
                checked += 1
        self.assertGreater(checked, 150)


class Runbook(unittest.TestCase):
    """The runbook names what there is."""

    def setUp(self):
        self.page = (ROOT / "docs/operations/runbook.md").read_text()
        self.parts = set(re.findall(r"^#+ (.+)$", self.page, re.MULTILINE))

    def test_every_metric_is_one(self):
        metrics = (ROOT / "docs/operations/metrics.md").read_text()
        names = set(re.findall(r"`((?:cairn|process)_[a-z_]+)`", self.page))
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertIn(f"| `{name}` |", metrics)

    def test_every_symptom_leads_to_a_part(self):
        table = self.page.split("## Symptoms")[1].split("\n## ")[0]
        rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
        self.assertGreater(len(rows), 12)
        for row in rows:
            for part in re.findall(r"\*([^*]+)\*", row.split("|")[4]):
                self.assertIn(part, self.parts)

    def test_every_event_is_in_the_table_of_symptoms(self):
        events = (ROOT / "docs/operations/events.md").read_text()
        table = self.page.split("## Symptoms")[1].split("\n## ")[0]
        for kind in re.findall(r"^\| `([a-z_]+)` \|", events, re.MULTILINE):
            self.assertIn(f"`{kind}`", table)

    def test_every_alert_leads_to_a_part(self):
        alerts = (ROOT / "docs/operations/alerts.yml").read_text()
        parts = re.findall(r"runbook.md, ([^\"]+)", alerts)
        self.assertGreater(len(parts), 20)
        for part in parts:
            self.assertIn(part, self.parts)

    def test_every_command_is_one(self):
        commands = set(re.findall(r"\bcairn ([a-z][a-z-]+)(?: [a-z]+)? (?:ADDR|FILE|127)", self.page))
        known = harness.run_cairn("--help").stdout
        self.assertGreater(len(commands), 5)
        for command in commands:
            self.assertRegex(known, rf"\n  {command}\s")


if __name__ == "__main__":
    harness.main()
