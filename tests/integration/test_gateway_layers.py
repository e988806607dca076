"""The folders of gateway/: which may include which, and no include cycle between folders or modules."""

import collections
import graphlib
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = "gateway"

# Each folder, and the folders that it may include. To add a folder: add a row, and say in gateway/gateway.h what belongs in it.
MAY_INCLUDE = {
    "request": set(),
    "response": {"request"},
    "account": {"response"},
    "access": {"response"},
    "tasks": {"request"},
    "metrics": {"account", "tasks"},
    "streams": {"request", "response", "account", "access", "tasks", "metrics"},
    "api": {"response", "tasks"},
    "api/native": {"api", "request", "response", "account", "access", "tasks", "streams"},
    "api/admin": {"api", "response", "account", "access", "tasks", "metrics"},
    "api/service": {"api", "response", "account", "metrics"},
    "": {"access", "api", "api/native", "api/admin", "api/service", "metrics", "streams", "tasks"},
}

PURE = ("request", "account")                                       # no event loop, no sockets, no Redis calls
IMPURE = re.compile(r'#include ["<](event2/|common/(\w+/)?loop|common/http/server|common/redis/|openssl/)')


def sources():
    return sorted((ROOT / TOP).rglob("*.[ch]"))


def module(path):
    return str(path.relative_to(ROOT / TOP).with_suffix(""))


def folder(name):
    return name.rpartition("/")[0]


def includes():
    """Pairs of modules (a .c and its .h are one module): the first includes the second."""
    for path in sources():
        for name in re.findall(r'#include "gateway/([^"]+)\.h"', path.read_text(encoding="utf-8")):
            if name != module(path):
                yield module(path), name


class Layers(unittest.TestCase):
    def test_the_table_has_every_folder(self):
        self.assertEqual({folder(module(path)) for path in sources()}, set(MAY_INCLUDE))

    def test_folders_include_only_what_the_table_allows(self):
        used = collections.defaultdict(set)
        for source, target in includes():
            if folder(source) != folder(target):
                used[folder(source)].add(folder(target))
                self.assertIn(folder(target), MAY_INCLUDE[folder(source)], f"{source} includes {target}")
        self.assertEqual({name: used[name] for name in MAY_INCLUDE}, MAY_INCLUDE, "a row allows what nothing uses")

    def test_there_is_no_cycle(self):
        graph = collections.defaultdict(set)
        for source, target in includes():
            graph[source].add(target)
        graphlib.TopologicalSorter(graph).prepare()                 # CycleError names the modules
        graphlib.TopologicalSorter(MAY_INCLUDE).prepare()

    def test_pure_folders_include_no_event_loop(self):
        for path in sources():
            if folder(module(path)) in PURE:
                self.assertIsNone(IMPURE.search(path.read_text(encoding="utf-8")), path)


if __name__ == "__main__":
    unittest.main()
