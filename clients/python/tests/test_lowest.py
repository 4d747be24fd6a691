"""The package runs on Python 3.8: its text is held against the grammar and the library of that version, whatever runs the test."""

import ast
import glob
import os
import subprocess
import sys
import unittest

import support

SOURCES = sorted(glob.glob(os.path.join(support.HERE, "..", "src", "sluice_client", "*.py")))
STDLIB = {
    "asyncio", "atexit", "base64", "collections", "concurrent", "ctypes", "errno", "json", "logging", "os", "random", "select", "socket", "sqlite3", "ssl",
    "struct", "sys", "threading", "time", "types", "typing", "urllib", "weakref", "zlib",
}


class Lowest(unittest.TestCase):
    def test_grammar(self):
        self.assertGreater(len(SOURCES), 15)
        for path in SOURCES:
            with open(path, encoding="utf-8") as f:
                ast.parse(f.read(), path, feature_version=(3, 8))

    def test_imports_nothing_else(self):
        for path in SOURCES:
            with open(path, encoding="utf-8") as f:
                tree = ast.parse(f.read(), path)
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                for name in names:
                    if name == "thrift.protocol" and path.endswith("_thrift.py"):
                        continue  # used where it is installed
                    self.assertIn(name.partition(".")[0], STDLIB, path)

    def test_library(self):
        """vermin knows which function, argument and method of the library came with which version."""
        try:
            import vermin  # noqa: F401
        except ImportError:
            if os.environ.get("SLUICE_TOOLS"):
                raise
            self.skipTest("vermin is not installed")
        done = subprocess.run([sys.executable, "-c", "import vermin; vermin.main()", "--target=3.8-", "--no-tips", "--violations"] + SOURCES, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_types(self):
        try:
            import mypy  # noqa: F401
        except ImportError:
            if os.environ.get("SLUICE_TOOLS"):
                raise
            self.skipTest("mypy is not installed")
        done = subprocess.run([sys.executable, "-m", "mypy"], cwd=os.path.join(support.HERE, ".."), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    unittest.main()
