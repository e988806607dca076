"""Runs the scenarios against arkrelay and its peers, prints one table, and writes the raw results to a file.

    run_bench.py BIN_FOLDER [--quick | --smoke] [--peers NAME,... | --no-peers] [--aof no|everysec|always] [--out FILE] [SCENARIO...]
    run_bench.py BIN_FOLDER --against BIN_FOLDER [--rounds N] ...

Scenarios: throughput overhead door limit slow streams fleet growth startup copies serving; all of them by default. Start it with scripts/bench.sh.

With --against, each scenario runs in rounds. A round runs the programs of both folders; the order alternates from round to round, so that
neither always runs first. The table shows the medians.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import kernel, scenarios                                                     # noqa: E402
from bench.systems import ArkRelay, BullMq, FastApi, Nchan, Simulator, System, arkrelay_before     # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SYSTEMS = (ArkRelay, Simulator, BullMq, FastApi, Nchan)
SIZES = {"quick": scenarios.QUICK, "smoke": scenarios.SMOKE, "full": scenarios.FULL}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="the folder with the programs and sse_load")
    parser.add_argument("scenario", nargs="*", help="scenarios to run: " + " ".join(scenarios.SCENARIOS))
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", default="full", help="smaller, within 5 minutes")
    parser.add_argument("--smoke", dest="size", action="store_const", const="smoke", help="smallest sizes, to check that it runs; the figures are meaningless")
    parser.add_argument("--against", metavar="FOLDER", help="compare with the gateway and worker of this folder, without peers")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds with --against")
    parser.add_argument("--peers", default=",".join(kind.name for kind in SYSTEMS[2:]), help="peers to run")
    parser.add_argument("--no-peers", dest="peers", action="store_const", const="", help="arkrelay alone")
    parser.add_argument("--aof", choices=("no", "everysec", "always"), default="no", help="appendfsync of every system's Redis")
    parser.add_argument("--out", help="the file of raw results; otherwise docs/benchmarks/<date>-<machine>.json, with --against build/bench-against.json")
    given = parser.parse_intermixed_args()
    unknown = set(given.scenario) - set(scenarios.SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are: {' '.join(scenarios.SCENARIOS)}")
    if given.rounds < 1:
        parser.error("at least one round is necessary")
    if given.against and not pathlib.Path(given.against, "arkrelay-gateway").is_file():
        parser.error(f"no arkrelay-gateway in {given.against}")
    return given


def say(text):
    print(text, file=sys.stderr, flush=True)


def systems(given):
    if given.against:
        return [arkrelay_before(given.against), ArkRelay]
    return [kind for kind in SYSTEMS if kind in (ArkRelay, Simulator) or kind.name in given.peers.split(",")]


class Bench:
    def __init__(self, given):
        self.given = given
        self.size = SIZES[given.size]
        self.rounds = given.rounds if given.against else 1
        chosen = systems(given)
        self.skipped = {kind.name: reason for kind in chosen if (reason := kind.missing())}
        self.kinds = [kind for kind in chosen if kind.name not in self.skipped]
        self.results = []           # a dict per scenario and system
        self.watch = kernel.Watch()

    def run(self):
        for name, reason in self.skipped.items():
            say(f"bench: {name} is skipped: {reason}")
        for name in self.given.scenario or scenarios.SCENARIOS:
            run, kinds = scenarios.SCENARIOS[name]
            for number in range(1, self.rounds + 1):
                for kind in self.kinds if number % 2 else self.kinds[::-1]:
                    if issubclass(kind, kinds):
                        self.run_one(name, run, kind, number)

    def run_one(self, name, run, kind, number):
        """Runs one scenario on one system. A failure is recorded as a result, and the run continues."""
        say(f"bench: {name}: {kind.name}" + (f", round {number} of {self.rounds}" if self.rounds > 1 else ""))
        watch = kernel.Watch()
        try:
            rows, failure = run(kind, self.given.bin, self.size), None
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            traceback.print_exc()
            rows, failure = [], str(error)
        self.watch.look()
        self.results.append({"scenario": name, "system": kind.name, "round": number, "failure": failure,
                             "kernel": watch.report(),
                             "rows": [{"what": row.what, "value": row.value, "unit": row.unit, "errors": row.errors} for row in rows],
                             "raw": unique(row.raw for row in rows)})

    def document(self):
        return {"schema": 1, "date": kernel.today(), "command": " ".join(["scripts/bench.sh", *sys.argv[2:]]), "size": self.given.size,
                "redis_appendonly": self.given.aof, "machine": kernel.machine(),
                "versions": kernel.versions(ROOT, self.given.bin), "settings": {kind.name: kind.settings for kind in self.kinds},
                "skipped": self.skipped, "kernel": self.watch.report(), "results": self.results}

    def failed(self):
        return any(result["system"] == ArkRelay.name and (result["failure"] or any(row["errors"] for row in result["rows"]))
                   for result in self.results)


def unique(documents):
    """Several rows can have the same raw document; keeps each document once."""
    kept = []
    for document in documents:
        if document and not any(document is other for other in kept):
            kept.append(document)
    return kept


# -- the printed table and notes

def table(document):
    names = list(document["settings"])
    lines = {}
    for result in document["results"]:
        for row in result["rows"]:
            cells = lines.setdefault((result["scenario"], row["what"], row["unit"]), {})
            cells.setdefault(result["system"], []).append(row)
    width = max([len(f"{what} ({unit})") for _, what, unit in lines] or [10])
    with_change = names == ["before", ArkRelay.name]
    heads = [*names, "change", "rounds higher"] if with_change else names
    out = [" ".join([" " * width, *(f"{head:>14}" for head in heads)])]
    last = None
    for (scenario, what, unit), cells in lines.items():
        if scenario != last:
            out.append(f"-- {scenario}")
            last = scenario
        title = f"{what} ({unit})"
        texts = [cell(median(cells.get(name))) for name in names] + (change(*(cells.get(name) for name in names)) if with_change else [])
        out.append(" ".join([f"{title:<{width}}", *(f"{text:>14}" for text in texts)]))
    return "\n".join(out)


def median(rows):
    """Merges the rows of all rounds: the median of the values, the sum of the errors."""
    return rows and {"value": statistics.median(row["value"] for row in rows), "errors": sum(row["errors"] for row in rows)}


def change(before, now):
    """Change of the median, and the number of rounds with a higher figure than before. Near half of the rounds, the change is noise."""
    if not before or not now or len(before) != len(now) or not median(before)["value"]:
        return ["-", "-"]
    higher = sum(new["value"] > old["value"] for old, new in zip(before, now))
    return [f"{median(now)['value'] / median(before)['value'] - 1:+.1%}", f"{higher} of {len(now)}"]


def cell(row):
    if not row:
        return "-"
    value = row["value"]
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} !{row['errors']}" if row["errors"] else text


def notes(document):
    out = [f"{name}: " + "; ".join(f"{key}: {value}" for key, value in settings.items())
           for name, settings in document["settings"].items()]
    out += [f"{name}: skipped: {reason}" for name, reason in document["skipped"].items()]
    out.append(f"Redis: private, appendonly {document['redis_appendonly']}, one per system and scenario")
    out += [f"{result['scenario']}, {result['system']}: failed: {result['failure']}"
            for result in document["results"] if result["failure"]]
    if any(row["errors"] for result in document["results"] for row in result["rows"]):
        out.append("!n: number of errors; the raw results list them by kind")
    out += [f"DOUBTFUL: {result['scenario']}, {result['system']}: {warning}"
            for result in document["results"] for warning in kernel.warnings(result["kernel"])]
    return "\n".join(out)


def file_name(document, given):
    if given.against:
        return ROOT / "build" / "bench-against.json"
    machine = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname()).strip("-") or "machine"
    return ROOT / "docs" / "benchmarks" / f"{document['date']}-{machine}{'' if given.size == 'full' else '-' + given.size}.json"


def main():
    given = arguments()
    System.aof = given.aof
    for warning in kernel.warnings(kernel.Watch().report()):
        say(f"bench: {warning}")
    os.environ.setdefault("ARKRELAY_BIN", given.bin)
    bench = Bench(given)
    bench.run()
    document = bench.document()
    print(table(document), notes(document), sep="\n\n")
    path = pathlib.Path(given.out) if given.out else file_name(document, given)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    say(f"bench: raw results in {path}")
    return 1 if bench.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
