"""Runs the Lua scripts as the programs do: EVALSHA and, on NOSCRIPT, EVAL.

    run = Scripts(server.client())
    run("submit", "public.t1", "hash", '{"urls":[]}', 2, 60000, 100, 60000, 100, "")     # [b"NEW", b"17...", b"queued", [...]]
"""

import hashlib
import pathlib
import re

from support.resp import RedisError

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "common/task/scripts"
PREFIX = "arkrelay:{0}:"


def needs(text):
    """The files of shared/ that a script names in its header."""
    return re.search(r"^-- needs: (.*)$", text, re.M).group(1).split()


def shared(*names):
    return "".join((FOLDER / f"shared/{name}.lua").read_text() for name in names)


def shebang(text):
    """The first line of a script whose head has a line `-- flags:`."""
    flags = re.search(r"^-- flags: (.*)$", text, re.M)
    return f"#!lua flags={flags.group(1)}\n" if flags else ""


HERE = re.compile(r"^ *-- here: (.*)\n", re.M)


def body(path):
    """The text sent to Redis: the shared files that the script needs, then the script, with those that either names at a line `-- here:`."""
    text = path.read_text()
    text = shebang(text) + shared(*needs(text)) + text
    while HERE.search(text):
        text = HERE.sub(lambda line: shared(*line.group(1).split()), text)
    return text


class Scripts:
    def __init__(self, redis, prefix=PREFIX):
        self.redis = redis
        self.prefix = prefix
        self.bodies = {path.stem: body(path).encode() for path in FOLDER.glob("*.lua")}
        self.sha1 = {name: hashlib.sha1(body).hexdigest() for name, body in self.bodies.items()}

    def load(self):
        """Loads all scripts, so that every program's first EVALSHA succeeds."""
        self.redis.pipeline([("SCRIPT", "LOAD", body) for body in self.bodies.values()])

    def __call__(self, name, *args):
        try:
            return self.redis("EVALSHA", self.sha1[name], 1, self.prefix, *args)
        except RedisError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return self.redis("EVAL", self.bodies[name], 1, self.prefix, *args)
