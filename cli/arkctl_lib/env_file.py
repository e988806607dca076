"""The assignments of a .env file, by the grammar of common/config/env_file.h. Other lines are ignored here; the programs report them."""

import re

LINE = re.compile(r"""\s*(?:export\s+)?([A-Za-z_]\w*)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*?))(?:\s+\#.*)?\s*$""")
ESCAPE = re.compile(r"\\(.)")


def read_env(path):
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        if match := LINE.match(line):
            name, escaped, literal, plain = match.groups()
            found[name] = (ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], escaped) if escaped is not None
                           else literal if literal is not None else plain)
    return found
