"""Reads the fenced blocks of the documents.

    for block in blocks(ROOT / "README.md", "sh"):
        block.text, block.line, block.is_illustration

A block after the line `<!-- illustration -->` is an example that no test can run.
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<mark><!-- illustration -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclasses.dataclass
class Block:
    page: str
    line: int
    kind: str
    text: str
    is_illustration: bool


def blocks(path, kind=None):
    """Blocks in order. kind: the word after the fence, "" if there is none."""
    text = path.read_text(encoding="utf-8")
    found = [Block(path.name, text.count("\n", 0, match.start("text")), match["kind"], match["text"], bool(match["mark"]))
             for match in FENCE.finditer(text)]
    return [block for block in found if kind is None or block.kind == kind]


def pages():
    """Every document for users."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md"), ROOT / "common/task/PROTOCOL.md"]
