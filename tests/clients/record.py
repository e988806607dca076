#!/usr/bin/env python3
"""Records what real clients send, byte for byte, into tests/data/clients.

    tests/clients/record.py                 records all cases
    tests/clients/record.py curl- go-post   records only cases whose names begin with these prefixes

Needs the packages of `scripts/install_deps.sh clients`, and the npm registry for the npm clients. The port is 8000, as in the examples,
unless --port is given. See README.md in this directory.
"""

import argparse
import contextlib
import getpass
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from clients import cases, proxies                              # noqa: E402
from clients.recorder import SECONDS, Recorder                  # noqa: E402
from support import recordings                                  # noqa: E402
from support.recordings import COLUMNS, FOLDER, Recording       # noqa: E402

WORK = ROOT / "build" / "clients"
JARS = ("httpclient", "httpcore", "commons-logging", "commons-codec", "okhttp", "okio")
CURL_VERSION = ("curl", "--version")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """A client did not send the expected requests."""


# -- running a client

def environment():
    """An environment without the user's settings, so that the clients use their defaults."""
    home = WORK / "home"
    home.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "GO111MODULE": "off"}


def prepare():
    """Creates a directory with all programs and their dependencies, and compiles those that need it."""
    WORK.mkdir(parents=True, exist_ok=True)
    for path in (HERE / "programs").iterdir():
        shutil.copy(path, WORK)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=WORK, check=True)
    subprocess.run(["go", "build", "-o", "go-client", "client.go"], cwd=WORK, check=True, env=environment() | {"GOCACHE": str(WORK / "go-cache")})


def jars():
    return ":".join(glob.escape(f"/usr/share/java/{name}.jar") for name in JARS)


def filled(text, **values):
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def run(argv, stdin=""):
    done = subprocess.run(argv, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=WORK, env=environment(),
                          timeout=3 * SECONDS, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def versions():
    """The versions of all clients, by the names used in the cases."""
    found = {"curl": run(CURL_VERSION)[1].split()[1], "wget": run(("wget", "--version"))[1].split()[2]}
    for words in (cases.NODE, cases.PYTHON, cases.JAVA, cases.GO, cases.PHP, cases.RUBY, cases.PERL):
        status, said, problem = run([filled(word, jars=jars()) for word in words] + ["versions"])
        if status:
            raise Failed(f"{words}: {problem}")
        found |= json.loads(said)
    return found


# -- checking the requests

def chosen(name, connections, answers):
    """The connection to record: an event source that reconnects has an earlier one."""
    if len(connections) > 1:
        connections = [raw for raw in connections if b"last-event-id" in raw.lower()] if name.endswith("resume") else connections[:1]
    if len(connections) != 1:
        raise Failed(f"{len(connections)} connections")
    requests = recordings.split(connections[0])
    if len(requests) != len(answers.split()):
        raise Failed(f"{len(requests)} requests on the connection")
    return requests


def check(name, requests, answers):
    """Checks that the requests have the meaning of the case and contain nothing specific to this machine."""
    for request, answer in zip(requests, answers.split(), strict=True):
        if answer == "done" and request.method == "POST" and json.loads(request.decoded) != recordings.expected_body(name):
            raise Failed(f"another body: {request.decoded!r}")
        for word in (getpass.getuser(), os.uname().nodename, str(ROOT), str(pathlib.Path.home())):
            if len(word) > 1 and word.encode() in request.raw:
                raise Failed(f"'{word}' is in it")
    if "chunked" in name and requests[0].framing != "chunked" and not name.startswith("nginx"):
        raise Failed("not chunked")


def store(name, client, source, requests, answers):
    check(name, requests, answers)
    recording = Recording(name, client, source, requests, answers.split())
    (FOLDER / f"{name}.http").write_bytes(recording.raw)
    return recording.row()


# -- the three kinds of cases

def record_client(recorder, case, known):
    recorder.forget()
    values = {"base": recorder.base, "task": case.name, "jars": jars(),
              "body": json.dumps(recordings.expected_body(case.name), ensure_ascii=False)}
    status, _, problem = run([filled(word, **values) for word in case.argv], filled(case.stdin, **values))
    connections = recorder.connections()
    if not connections:
        raise Failed(f"status {status}, {problem}")
    return store(case.name, filled(case.client, **known), case.source, chosen(case.name, connections, case.answers), case.answers)


def record_proxied(recorder, kind, wanted):
    rows = []
    client = f"{kind.partition('-')[0]} {proxies.version(kind)} as a proxy"
    for name, port, call in proxies.cases(kind):
        if wanted(name):            # a new proxy for each case, because it keeps connections open
            with proxies.proxy(kind, recorder.base.partition("//")[2]) as ports:
                recorder.forget()
                answers = cases.TWICE if name.endswith("twice") else "done"
                call(f"127.0.0.1:{ports[port]}", name)
                rows.append(store(name, client, "recorded", chosen(name, recorder.connections(), answers), answers))
    return rows


def reconstruct(case, authority):
    body = json.dumps(recordings.expected_body(case.name), ensure_ascii=False, separators=(",", ":")).encode()
    lines = ("POST " + cases.API + "/generate/stream HTTP/1.1", *case.lines, "", "")
    head = filled("\r\n".join(lines), authority=authority, length=len(body)).encode()
    sent = b"%X\r\n%b\r\n0\r\n\r\n" % (len(body), body) if case.pieces else body
    return store(case.name, case.client, case.source, recordings.split(head + sent), "done")


# -- all cases

def rows_of(recorder, wanted, failures):
    known = versions()
    for case in cases.CLIENTS:
        if wanted(case.name):
            with noted(case.name, failures):
                yield record_client(recorder, case, known)
    for kind in proxies.KINDS:
        with noted(kind, failures):
            yield from record_proxied(recorder, kind, wanted)
    for case in cases.RECONSTRUCTED:
        if wanted(case.name):
            yield reconstruct(case, recorder.base.partition("//")[2])


@contextlib.contextmanager
def noted(name, failures):
    try:
        yield
    except (Failed, AssertionError, OSError, subprocess.SubprocessError) as error:
        failures.append(f"{name}: {error}")


def write_index(rows):
    index = FOLDER / "index.tsv"
    kept = {row["name"]: tuple(row[column] for column in COLUMNS) for row in recordings.read_index()} if index.exists() else {}
    kept |= {row[0]: row for row in rows}
    lines = [COLUMNS, *(kept[name] for name in sorted(kept) if (FOLDER / f"{name}.http").exists())]
    index.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="*", help="record only these")
    parser.add_argument("--port", type=int, default=8000, help="where the recorder listens")
    given = parser.parse_args()
    failures = []
    prepare()
    with Recorder(given.port) as recorder:
        rows = list(rows_of(recorder, lambda name: not given.prefix or name.startswith(tuple(given.prefix)), failures))
    write_index(rows)
    say(f"record: {len(rows)} recordings in {FOLDER}")
    for failure in failures:
        say(f"record: FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
