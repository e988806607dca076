"""Cost budgets of a task, a stream and a call, and comparison of measured figures with them.

    budgets = Budgets()
    budgets.exceeded({"gateway_blocks_per_stream": 6.0})     # -> ["gateway_blocks_per_stream is 6, ...", ...]

A budget is a row of budgets.json: a margin, and a value for each system. A figure may exceed the value by the margin, which covers
differences between runs. Memory and instructions are also spent in libraries, so those values belong to one system, such as
"debian 12 x86_64". A value for ANY applies to every system.

To add a budget, add a row with a margin and an empty "values" ({"any": 0} if it applies to every system), return its figure from a
function of test_budgets.py's MEASURES, and run test_budgets.py --update.
"""

import json
import pathlib
import platform

FILE = pathlib.Path(__file__).parents[1] / "integration" / "budgets.json"
ANY = "any"


def system():
    """The platform of the figures: "debian 12 x86_64"."""
    release = platform.freedesktop_os_release()
    return f"{release['ID']} {release.get('VERSION_ID', '')} {platform.machine()}"


class Budgets:
    def __init__(self, file=FILE, of_system=None):
        self.file = pathlib.Path(file)
        self.rows = json.loads(self.file.read_text(encoding="utf-8"))
        self.system = of_system or system()

    def value(self, name):
        """The budget on this system. None if it has none."""
        values = self.rows[name]["values"]
        return values.get(self.system, values.get(ANY))

    def limit(self, name):
        return self.value(name) * (1 + self.rows[name]["margin"])

    def missing(self, figures):
        """Why these figures cannot be compared: a sentence, or None if each has a budget."""
        names = [name for name in figures if self.value(name) is None]
        return names and (f"{self.file.name} has no value for {self.system} of {', '.join(names)}; "
                          f"record them there with scripts/budgets.sh update") or None

    def is_exceeded(self, name, figure):
        """True if the figure is above its limit. A figure of 0 counts too: nothing was measured then."""
        return figure <= 0 or (self.value(name) is not None and figure > self.limit(name))

    def is_wide(self, name, figure):
        """True if the figure is so far below its budget that a regression would go unnoticed."""
        return figure < self.value(name) * (1 - self.rows[name]["margin"])

    def line(self, name, figure):
        if self.value(name) is None:
            return f"{name}: {shown(figure)}, no budget for {self.system}"
        note = (" EXCEEDED" if self.is_exceeded(name, figure) else
                " (far below: --update sets a budget that guards it)" if self.is_wide(name, figure) else "")
        return f"{name}: {shown(figure)}, budget {shown(self.value(name))} and {self.rows[name]['margin']:.0%}{note}"

    def exceeded(self, figures):
        """A sentence for each figure outside its budget."""
        return [self._sentence(name, figure) for name, figure in figures.items() if self.is_exceeded(name, figure)]

    def _sentence(self, name, figure):
        if figure <= 0:
            return f"{name} is {shown(figure)}: nothing was measured."
        return (f"{name} is {shown(figure)}, and may be {shown(self.limit(name))}: its budget in {self.file.name} is "
                f"{shown(self.value(name))}, and {self.rows[name]['margin']:.0%} more for what differs from run to run.")

    def update(self, figures):
        """Makes these figures the budgets of this system; margins and the values of other systems stay."""
        for name, figure in figures.items():
            values = self.rows[name]["values"]
            values[ANY if ANY in values else self.system] = rounded(figure)
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in self.rows.items())
        self.file.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def rounded(figure):
    return round(figure, 2) if figure < 100 else round(figure)


def shown(figure):
    return f"{rounded(figure):,}"
