"""The hash of the sources that decide what apply does. The hash is part of a build's name."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness


class HashOfTheSources(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        for path in ("src/base/status.cc", "src/base/bytes.h", "src/state_machine/sqlite/applier.cc",
                     "src/state_machine/sqlite/applier_test.cc", "src/server/server.cc"):
            self.write(path, f"// {path}\n")

    def write(self, path, text):
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def hash(self):
        out = self.directory / "apply_sources.h"
        subprocess.run(["cmake", f"-DROOT={self.directory}", f"-DOUT={out}", "-P",
                        harness.ROOT / "cmake" / "apply_sources.cmake"], check=True)
        return re.fullmatch(r'#define CAIRN_APPLY_SOURCES "([0-9a-f]{16})"\n', out.read_text())[1]

    def test_two_commits_of_one_version_differ_where_apply_differs(self):
        before = self.hash()
        self.write("src/state_machine/sqlite/applier.cc", "// another rule\n")
        changed = self.hash()
        self.assertNotEqual(before, changed)
        self.write("src/base/more.cc", "")
        self.assertNotEqual(changed, self.hash())

    def test_what_does_not_decide_changes_nothing(self):
        before = self.hash()
        self.write("src/server/server.cc", "// another door\n")
        self.write("src/state_machine/sqlite/applier_test.cc", "// another test\n")
        self.assertEqual(before, self.hash())


if __name__ == "__main__":
    harness.main()
