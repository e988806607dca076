"""A line of the table, and figures in the documents of the load generator."""

import dataclasses


@dataclasses.dataclass
class Row:
    what: str
    value: float
    unit: str
    raw: dict = dataclasses.field(default_factory=dict)
    errors: int = 0


def ms(seconds):
    return f"{int(seconds * 1000)}ms"


def errors(document):
    return sum(document["errors"].values())


def cpu(document, *names):
    """CPU seconds per 1,000 tasks or events of the processes with these names; without names, of all except the load generator."""
    return sum(process["cpu_s_per_1000"] for process in document["processes"]
               if (process["name"].partition("-")[0] in names if names else process["name"] != "load"))


def rows_of_times(what, document, *percentiles):
    return [Row(f"{what}, {name}", document["took"][f"{name}_us"] / 1000, "ms", document, errors(document)) for name in percentiles]
