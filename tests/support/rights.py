"""The Redis commands that a program needs: the commands of its scripts, and the commands that it sends directly.

    commands("gateway")         # {"evalsha", "hset", "client|setname", ...}

common/task/PROTOCOL.md says which program runs which script.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "common/task/scripts"

CALL = re.compile(r"redis\.p?call\(([^,)]*)")
FUNCTION = re.compile(r"^local function (\w+)\(.*?^end$", re.M | re.S)

# Commands that the C sources send besides scripts: on each new connection, and later.
GREETING = {"ping", "client|setname", "role", "info", "hget", "hsetnx"}
SENT = {
    "gateway": GREETING | {"evalsha", "eval", "subscribe", "unsubscribe", "hgetall"},
    "worker": GREETING | {"evalsha", "eval", "blpop", "wait"},
}


def scripts(program):
    """The names of the scripts that a program runs."""
    rows = re.findall(r"^\| ([A-Z_]+) \| ([^|]*) \|", (ROOT / "common/task/PROTOCOL.md").read_text(), re.M)
    names = {name.lower() for name, caller in rows if program in caller or caller.strip() == "any"}
    return sorted(name for name in names if (FOLDER / f"{name}.lua").exists())


def commands(program):
    shared = "".join(path.read_text() for path in (FOLDER / "shared").glob("*.lua"))
    helpers = {match.group(1): match.group(0) for match in FUNCTION.finditer(shared)}
    found = set(SENT[program])
    for name in scripts(program):
        found |= _commands_of((FOLDER / f"{name}.lua").read_text(), helpers, set())
    return found


def _commands_of(text, helpers, seen):
    """The commands of a piece of Lua, and of the shared functions that it uses."""
    found = {word.lower() for call in CALL.findall(text) for word in re.findall(r"['\"]([A-Z]+)['\"]", call)}
    for name in set(re.findall(r"\b(\w+)\(", text)) & helpers.keys() - seen:
        seen.add(name)
        found |= _commands_of(helpers[name], helpers, seen)
    return found
