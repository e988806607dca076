"""Cost budgets of a task, a stream and a call, and comparison of measured figures with them.

    budgets = Budgets()
    budgets.exceeded({"gateway_blocks_per_stream": 6.0})     # -> ["gateway_blocks_per_stream is 6, ...", ...]

A budget is a figure that was measured when the budget was set, and a margin: the fraction by which a later figure may exceed it, because
figures vary between runs. Memory and instruction counts depend on the system's libraries, so these budgets apply only to the system
that the file names.
"""

import json
import pathlib
import platform

FILE = pathlib.Path(__file__).parents[1] / "integration" / "budgets.json"


class Budgets:
    def __init__(self, file=FILE):
        self.file = pathlib.Path(file)
        self.content = json.loads(self.file.read_text(encoding="utf-8"))
        self.rows = self.content["budgets"]

    def is_of_this_system(self):
        return self.content["system"] == system()

    def limit(self, name):
        return self.rows[name]["value"] * (1 + self.rows[name]["margin"])

    def is_exceeded(self, name, figure):
        """True if the figure is above its limit. A figure of 0 counts too: nothing was measured then."""
        return not 0 < figure <= self.limit(name)

    def is_wide(self, name, figure):
        """True if the figure is so far below its budget that a regression would go unnoticed."""
        return figure < self.rows[name]["value"] * (1 - self.rows[name]["margin"])

    def line(self, name, figure):
        row = self.rows[name]
        note = (" EXCEEDED" if self.is_exceeded(name, figure) else
                " (far below: --update sets a budget that guards it)" if self.is_wide(name, figure) else "")
        return f"{name}: {shown(figure)}, budget {shown(row['value'])} and {row['margin']:.0%}{note}"

    def exceeded(self, figures):
        """A sentence for each figure outside its budget."""
        return [self._sentence(name, figure) for name, figure in figures.items() if self.is_exceeded(name, figure)]

    def _sentence(self, name, figure):
        if figure <= 0:
            return f"{name} is {shown(figure)}: nothing was measured."
        row = self.rows[name]
        return (f"{name} is {shown(figure)}, and may be {shown(self.limit(name))}: its budget in {self.file.name} is "
                f"{shown(row['value'])}, and {row['margin']:.0%} more for what differs from run to run.")

    def update(self, figures):
        """Stores these figures as the new budgets; margins are kept."""
        for name, figure in figures.items():
            self.rows[name]["value"] = rounded(figure)
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in self.rows.items())
        self.file.write_text(f'{{\n  "system": {json.dumps(system())},\n  "budgets": {{\n{lines}\n  }}\n}}\n', encoding="utf-8")


def system():
    """The platform of the figures: "debian 12 x86_64"."""
    release = platform.freedesktop_os_release()
    return f"{release['ID']} {release.get('VERSION_ID', '')} {platform.machine()}"


def rounded(figure):
    return round(figure, 2) if figure < 100 else round(figure)


def shown(figure):
    return f"{rounded(figure):,}"
