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


if __name__ == "__main__":
    harness.main()
