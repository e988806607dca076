"""Runs the scenarios against arkrelay and then against its peers, in one run; prints one table, writes what is behind it.

    run_bench.py BIN_FOLDER [--quick | --smoke] [--peers NAME,... | --no-peers] [--aof no|everysec|always] [--out FILE] [SCENARIO...]

Scenarios: throughput overhead slow streams fleet growth startup; without any, all of them. scripts/bench.sh is how to start it.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import kernel, scenarios                                                     # noqa: E402
from bench.systems import ArkRelay, BullMq, FastApi, Nchan, Simulator, System            # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SYSTEMS = (ArkRelay, Simulator, BullMq, FastApi, Nchan)
SIZES = {"quick": scenarios.QUICK, "smoke": scenarios.SMOKE, "full": scenarios.FULL}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="the folder with the programs and sse_load")
    parser.add_argument("scenario", nargs="*", help="those to run, of: " + " ".join(scenarios.SCENARIOS))
    parser.add_argument("--quick", dest="size", action="store_const", const="quick", default="full", help="smaller, within 4 minutes")
    parser.add_argument("--smoke", dest="size", action="store_const", const="smoke", help="does it run? The figures mean nothing")
    parser.add_argument("--peers", default=",".join(kind.name for kind in SYSTEMS[2:]), help="which peers run too")
    parser.add_argument("--no-peers", dest="peers", action="store_const", const="", help="arkrelay alone")
    parser.add_argument("--aof", choices=("no", "everysec", "always"), default="no", help="what Redis writes to disk, for all alike")
    parser.add_argument("--out", help="the file of raw results; otherwise docs/benchmarks/<date>-<machine>.json")
    given = parser.parse_intermixed_args()
    unknown = set(given.scenario) - set(scenarios.SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are: {' '.join(scenarios.SCENARIOS)}")
    return given


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, given):
        self.given = given
        self.size = SIZES[given.size]
        chosen = [kind for kind in SYSTEMS if kind in (ArkRelay, Simulator) or kind.name in given.peers.split(",")]
        self.skipped = {kind.name: reason for kind in chosen if (reason := kind.missing())}
        self.kinds = [kind for kind in chosen if kind.name not in self.skipped]
        self.results = []           # a dict per scenario and system
        self.watch = kernel.Watch()

    def run(self):
        for name, reason in self.skipped.items():
            say(f"bench: {name} is skipped: {reason}")
        for name in self.given.scenario or scenarios.SCENARIOS:
            run, kinds = scenarios.SCENARIOS[name]
            for kind in self.kinds:
                if kind in kinds:
                    self.run_one(name, run, kind)

    def run_one(self, name, run, kind):
        """A peer that cannot keep up is a result too, and no reason to stop."""
        say(f"bench: {name}: {kind.name}")
        watch = kernel.Watch()
        try:
            rows, failure = run(kind, self.given.bin, self.size), None
        except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            traceback.print_exc()
            rows, failure = [], str(error)
        self.watch.look()
        self.results.append({"scenario": name, "system": kind.name, "failure": failure, "kernel": watch.report(),
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
    """One run gives several rows; it is written once."""
    kept = []
    for document in documents:
        if document and not any(document is other for other in kept):
            kept.append(document)
    return kept


# -- what people read

def table(document):
    names = list(document["settings"])
    lines = {}
    for result in document["results"]:
        for row in result["rows"]:
            lines.setdefault((result["scenario"], row["what"], row["unit"]), {})[result["system"]] = row
    width = max([len(f"{what} ({unit})") for _, what, unit in lines] or [10])
    out = [" ".join([" " * width, *(f"{name:>14}" for name in names)])]
    last = None
    for (scenario, what, unit), cells in lines.items():
        if scenario != last:
            out.append(f"-- {scenario}")
            last = scenario
        title = f"{what} ({unit})"
        out.append(" ".join([f"{title:<{width}}", *(f"{cell(cells.get(name)):>14}" for name in names)]))
    return "\n".join(out)


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
        out.append("!n: so many errors, by kind in the raw results")
    out += [f"DOUBTFUL: {result['scenario']}, {result['system']}: {warning}"
            for result in document["results"] for warning in kernel.warnings(result["kernel"])]
    return "\n".join(out)


def file_name(document, size):
    machine = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname()).strip("-") or "machine"
    return ROOT / "docs" / "benchmarks" / f"{document['date']}-{machine}{'' if size == 'full' else '-' + size}.json"


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
    path = pathlib.Path(given.out) if given.out else file_name(document, given.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    say(f"bench: raw results in {path}")
    return 1 if bench.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
