"""The machine of a run: hardware, versions, and kernel events on loopback that make the figures unreliable."""

import datetime
import glob
import json
import os
import pathlib
import platform
import re
import subprocess
import time

ENGINES = ("dockerd", "containerd", "podman", "crio")
STOLEN = 0.02           # share of the CPU time taken by the host; above it, the figures are unreliable
TABLE_FULL = 0.8        # share of the connection table in use; above it, new connections may be dropped


def read(path, fallback=""):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return fallback


def said_by(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip()


def packages(*names):
    """Versions of installed Debian packages."""
    found = {}
    for name in names:
        version = said_by("dpkg-query", "-W", "-f", "${Version}", name)
        if version and "no packages" not in version:
            found[name] = version
    return found


def npm_packages(root):
    """Pinned versions of the BullMQ peer's dependencies."""
    described = json.loads(read(root / "tests/bench/peers/bullmq/package.json", "{}"))
    return described.get("dependencies", {})


def machine():
    cpu = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", read("/proc/meminfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"', read("/etc/os-release"), re.M)
    return {"cpu": cpu.group(1) if cpu else platform.processor(), "cores": os.cpu_count(),
            "memory_mib": int(memory.group(1)) // 1024 if memory else None, "kernel": platform.release(),
            "system": system.group(1) if system else "", "load_before": os.getloadavg()[0],
            "descriptors": said_by("sh", "-c", "ulimit -Hn")}


def versions(root, bin_folder):
    return {"arkrelay": said_by(f"{bin_folder}/arkrelay-gateway", "--version"),
            "revision": said_by("git", "-C", str(root), "describe", "--always", "--dirty"),
            "compiler": said_by("gcc", "-dumpfullversion"), "redis": said_by("redis-server", "--version"),
            "python": platform.python_version(), "node": said_by("node", "--version"), "npm": npm_packages(root),
            "packages": packages("libevent-2.1-7", "libhiredis0.14", "libcurl4", "python3-fastapi", "python3-uvicorn",
                                 "python3-redis", "python3-aiohttp", "python3-uvloop", "python3-httptools", "nginx",
                                 "libnginx-mod-nchan")}


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


# -- events that make figures unreliable

def tcp_counters():
    lines = [line.split() for line in read("/proc/net/netstat").splitlines() if line.startswith("TcpExt:")]
    values = dict(zip(lines[0][1:], map(int, lines[1][1:]))) if len(lines) == 2 else {}
    return {name: values.get(name, 0) for name in ("TCPSynRetrans", "ListenDrops", "ListenOverflows", "TCPTimeouts")}


def tracked():
    """Number of tracked connections and its maximum; zeros if the kernel tracks none."""
    return {"count": int(read("/proc/sys/net/netfilter/nf_conntrack_count", "0") or 0),
            "max": int(read("/proc/sys/net/netfilter/nf_conntrack_max", "0") or 0)}


def engines():
    """Running container engines. Their firewall rules make the kernel track loopback connections too."""
    names = {read(path) for path in glob.glob("/proc/[0-9]*/comm")}
    return sorted(names.intersection(ENGINES))


def stolen_s():
    """CPU time that the host of a virtual machine gave to others."""
    fields = read("/proc/stat").split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0.0


class Watch:
    """Kernel events since its creation."""

    def __init__(self):
        self._before, self._stolen_s, self._began = tcp_counters(), stolen_s(), time.monotonic()
        self.most_tracked = tracked()["count"]

    def look(self):
        self.most_tracked = max(self.most_tracked, tracked()["count"])

    def report(self):
        self.look()
        after = tcp_counters()
        return {**{name: after[name] - self._before[name] for name in after}, "tracked_most": self.most_tracked,
                "tracked_max": tracked()["max"], "engines": engines(), "seconds": round(time.monotonic() - self._began, 1),
                "stolen_s": round(stolen_s() - self._stolen_s, 2)}


def warnings(report):
    """Reasons why these figures are unreliable, as sentences."""
    found = []
    if report["engines"]:
        found.append(f"a container engine runs ({', '.join(report['engines'])}): stop it first, loopback is tracked while it runs")
    if report["tracked_max"] and report["tracked_most"] > TABLE_FULL * report["tracked_max"]:
        found.append(f"the kernel's connection table is nearly full ({report['tracked_most']} of {report['tracked_max']})")
    if report["stolen_s"] > STOLEN * os.cpu_count() * max(report["seconds"], 1):
        found.append(f"the machine's host took {report['stolen_s']} s of {report['seconds']} s for others")
    if report["TCPSynRetrans"]:
        found.append(f"{report['TCPSynRetrans']} SYNs were retransmitted: they cause latencies of whole seconds")
    if report["ListenDrops"]:
        found.append(f"{report['ListenDrops']} connections were dropped because a backlog was full")
    return found
