"""The C++ client as others use it: installed, found by CMake, built into a program outside."""
import os
import pathlib
import shutil
import subprocess

import harness
from harness import CairnTest

BUILD = pathlib.Path(os.environ.get("CAIRN_BUILD", pathlib.Path(harness.CAIRN).parent))


class CppClient(CairnTest):
    def run_tool(self, *command, seconds=200):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              check=False, timeout=seconds)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def test_the_example_is_built_from_what_is_installed_and_runs(self):
        if shutil.which("cmake") is None or not (BUILD / "cmake_install.cmake").exists():
            self.skipTest("needs cmake, and the build directory")
        prefix = self.directory / "prefix"
        example = self.directory / "example"
        self.run_tool("cmake", "--install", BUILD, "--prefix", prefix, "--component", "client")
        self.run_tool("cmake", "-S", harness.ROOT / "examples" / "client", "-B", example,
                      "-D", f"CMAKE_PREFIX_PATH={prefix}")
        self.run_tool("cmake", "--build", example)
        nodes = self.new_cluster(3)
        backup = self.directory / "orders.db"
        done = self.run_tool(example / "orders", ",".join(node.address for node in nodes), backup)
        self.assertEqual(done.stdout.splitlines(), [
            "1 bolts 2.5 -", "2 nuts 4 -", "changed", "somebody was faster", "heard of order 3",
            "backed up"])
        self.assertTrue(backup.exists())


if __name__ == "__main__":
    harness.main()
