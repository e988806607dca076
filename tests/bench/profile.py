"""Profiles the CPU time of a task: samples arkrelay's processes under the load of the throughput scenario, and prints one table.

    profile.py BIN_FOLDER [--clients 512] [--seconds 5] [--top 8]

Needs perf (Debian: linux-perf) and the right to use it. The figures are shares of all samples; for the CPU time itself, run scripts/bench.sh.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench.systems import ArkRelay                                                      # noqa: E402

LINE = re.compile(r"^\s*(\d+)\s+(\S+)\s+(\S+)\s+\[(.)\]\s+(\S+)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="the folder with the programs and sse_load")
    parser.add_argument("--clients", type=int, default=512)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--top", type=int, default=8, help="functions to show of each process")
    return parser.parse_args()


def sample(system, given, path):
    pids = ",".join(str(pid) for _, pid in system.programs)
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", path, "-p", pids, "--",
                             "sleep", str(given.seconds)])
    run = system.load("tasks", clients=given.clients, for_=f"{given.seconds + 1}s", deadline="60s")
    perf.wait()
    return run


def functions(path):
    """Share, process, object and name of every function."""
    text = subprocess.run(["perf", "report", "-q", "-i", path, "--stdio", "-F", "sample,comm,dso,symbol", "-g", "none"], check=True,
                          capture_output=True, text=True).stdout
    found = [match for match in map(LINE.match, text.splitlines()) if match]
    samples = sum(int(match[1]) for match in found)
    return [(100 * int(match[1]) / samples, match[2], "kernel" if match[4] == "k" else match[3], match[5]) for match in found]


def show(rows, top):
    processes = collections.Counter()
    objects = collections.defaultdict(collections.Counter)
    names = collections.defaultdict(list)
    for share, process, where, name in rows:
        processes[process] += share
        objects[process][where] += share
        names[process].append((share, name))
    print("| process | share | by object | functions |\n|---|---:|---|---|")
    for process, share in processes.most_common():
        by_object = ", ".join(f"{where} {part:.1f}" for where, part in objects[process].most_common() if part >= 0.5)
        first = ", ".join(f"`{name}` {part:.1f}" for part, name in sorted(names[process], reverse=True)[:top]
                          if not name.startswith("0x"))
        print(f"| {process} | {share:.1f} % | {by_object} | {first} |")


def main():
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="arkrelay-profile-") as folder, ArkRelay(given.bin) as system:
        path = str(pathlib.Path(folder, "perf.data"))
        system.warm_up()
        run = sample(system, given, path)
        print(f"{run['per_second']:,.0f} tasks/s, {given.clients} clients; CPU seconds per 1,000 tasks:",
              ", ".join(f"{process['name']} {process['cpu_s_per_1000']:.3f}" for process in run["processes"]))
        show(functions(path), given.top)


if __name__ == "__main__":
    main()
