"""The npm packages of tests/clients/programs, in build/clients: installed once, as package-lock.json pins them."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests/clients/programs"
FOLDER = ROOT / "build/clients"


def install():
    """The folder; without npm, or without its registry, the test is skipped."""
    stamp, lock = FOLDER / "installed", (PROGRAMS / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(lock).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return FOLDER
    if not shutil.which("npm"):
        raise unittest.SkipTest("no npm: scripts/install_deps.sh clients")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PROGRAMS / name, FOLDER)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"], cwd=FOLDER, timeout=200,
                          capture_output=True, check=False)
    if done.returncode:
        raise unittest.SkipTest("npm cannot get the packages")
    stamp.write_text(wanted)
    return FOLDER


def run(program, *words, seconds=60):
    """What a program of tests/clients/programs prints as JSON."""
    shutil.copy(PROGRAMS / program, FOLDER)     # next to node_modules
    done = subprocess.run(["node", program, *words], cwd=FOLDER, timeout=seconds, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
