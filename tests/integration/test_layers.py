"""Checks the includes between folders against the table in docs/architecture.md.

A module is a .c file with its header. There must be no cycle between folders or between the modules of a folder.
"""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("common", "gateway", "worker", "simulator")
LIBRARIES = re.compile(r"^#include <(event2/|curl/|hiredis/(?!hiredis\.h))", re.M)      # hiredis.h is allowed: it declares the reply type
ROW = re.compile(r"^\| `([\w/]+)/` \|[^|]*\| ([^|]*) \|$", re.M)


def table():
    """{folder: folders that it may include}. `pure` in a row means that its files include no I/O library."""
    text = (ROOT / "docs/architecture.md").read_text()
    return {folder: re.findall(r"[\w/]+", may) for folder, may in ROW.findall(text)}


def sources():
    return [path for top in TOPS for path in sorted((ROOT / top).rglob("*.[ch]"))]


def folder_of(path):
    return str(pathlib.PurePosixPath(path).parent)


def includes(path):
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)


def find_cycle(edges):
    """A cycle as a list of nodes, or None. edges: {node: its successors}"""
    done, trail = set(), []

    def visit(node):
        if node in trail:
            return trail[trail.index(node):] + [node]
        if node in done:
            return None
        trail.append(node)
        for successor in sorted(edges.get(node, ())):
            if cycle := visit(successor):
                return cycle
        trail.pop()
        done.add(node)
        return None

    for node in sorted(edges):
        if cycle := visit(node):
            return cycle
    return None


class Layers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.allowed = table()
        cls.files = sources()

    def test_the_table_lists_all_folders(self):
        self.assertEqual(set(self.allowed), {folder_of(path.relative_to(ROOT)) for path in self.files})

    def test_files_include_only_what_the_table_allows(self):
        wrong = []
        for path in self.files:
            own = folder_of(path.relative_to(ROOT))
            for include in includes(path):
                other = folder_of(include)
                self.assertTrue((ROOT / include).exists() or other == "", f"{path}: {include}")
                if other != own and other not in self.allowed[own]:
                    wrong.append(f"{path.relative_to(ROOT)} includes {include}")
        self.assertEqual(wrong, [])

    def test_the_table_allows_only_used_includes(self):
        used = {}
        for path in self.files:
            own = folder_of(path.relative_to(ROOT))
            used.setdefault(own, set()).update(folder_of(include) for include in includes(path))
        for folder, allowed in self.allowed.items():
            self.assertEqual(set(allowed) - {"pure"} - used[folder], set(), folder)

    def test_folders_form_no_cycle(self):
        self.assertIsNone(find_cycle({folder: set(may) - {"pure"} for folder, may in self.allowed.items()}))

    def test_the_modules_of_a_folder_form_no_cycle(self):
        edges = {}
        for path in self.files:
            module = str(path.relative_to(ROOT).with_suffix(""))
            for include in includes(path):
                other = str(pathlib.PurePosixPath(include).with_suffix(""))
                if other != module and folder_of(other) == folder_of(module):
                    edges.setdefault(module, set()).add(other)
        self.assertIsNone(find_cycle(edges))

    def test_pure_folders_include_no_io_library(self):
        pure = [folder for folder, may in self.allowed.items() if "pure" in may]
        self.assertTrue(pure)
        for path in self.files:
            if folder_of(path.relative_to(ROOT)) in pure:
                self.assertIsNone(LIBRARIES.search(path.read_text()), path)

    def test_every_folder_is_a_library(self):
        for folder in self.allowed:
            self.assertIn("add_room(", (ROOT / folder / "CMakeLists.txt").read_text(), folder)


class FindCycle(unittest.TestCase):
    def test_find_cycle(self):
        self.assertEqual(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}), ["b", "c", "b"])
        self.assertIsNone(find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}))


if __name__ == "__main__":
    unittest.main()
