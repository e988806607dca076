"""Measures how stored pictures are copied and served: storage, load and observers for the scenarios `copies` and `serving`.

nginx gives the pictures, like ARK's host, and is the peer that serves them. Its PUT of WebDAV is the bucket: it accepts every signature, so that
checking them does not limit the upload.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from bench.systems import ArkRelay
from support.certificates import Pair
from support.http_client import fetch
from support.images import png
from support.nginx import is_listening
from support.processes import Deadline, Program, eventually
from support.redis_server import free_port

MIB = 1 << 20
KEYS = ArkRelay.partition
CONFIG = """
daemon off; pid {folder}/pid; error_log stderr warn; worker_processes auto;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type image/png; client_max_body_size 100m;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        listen 127.0.0.1:{tls_port} ssl reuseport backlog=4096;
        ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
        location / {{ root {folder}; try_files /picture.png =404; }}
        location /p/ {{ alias {folder}/kept/; }}
        location /pictures/ {{ root {folder}/bucket; dav_methods PUT DELETE; create_full_put_path on; }}
    }}
}}
"""


def drop_caches():
    """True if the kernel has dropped the cached files, which only root may ask for."""
    os.sync()
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    except OSError:
        return False
    return True


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: status {done.returncode}, {done.stderr[-400:]}")
    return done.stdout


class Place:
    """A folder and an nginx. nginx answers every path with picture.png, serves kept/ at /p/, and stores each PUT to /pictures/."""

    def __init__(self, size):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="arkrelay-stored-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        (self.folder / "picture.png").write_bytes(png(1, 1, size))
        (self.folder / "bucket").mkdir(mode=0o777)
        (self.folder / "bucket").chmod(0o777)
        self.pair = Pair(str(self.folder))
        port, tls_port = free_port(), free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
        text = CONFIG.format(folder=self.folder, port=port, tls_port=tls_port)
        if os.geteuid() == 0:
            text = "user root;\n" + text        # the kept pictures can be read by their owner only
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")
        self.nginx = Program("nginx", ["/usr/sbin/nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")])
        eventually(lambda: is_listening(f"127.0.0.1:{port}"), "nginx listens")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.nginx.stop()
        self.nginx.forget()
        shutil.rmtree(self.folder, ignore_errors=True)

    def directory(self):
        return {"STORAGE": self.folder / "kept"}

    def bucket(self):
        return {"STORAGE": "s3://pictures/kept", "STORAGE_ENDPOINT": self.url, "STORAGE_REGION": "us-east-1", "STORAGE_STYLE": "path",
                "STORAGE_ACCESS_KEY": "bench", "STORAGE_SECRET_KEY": "bench-secret", "STORAGE_SPOOL": self.folder / "spool"}


class Copier:
    """arkrelay with owed copies that wait until release()."""

    def __init__(self, system, place, parallel):
        self.system, self.redis, self.parallel = system, system.redis.client(), parallel
        system.options |= {"ARK_IMAGE_URL_MAP": f"{system.ark_url.removesuffix('/api/v3')}/={place.url}/"}

    def owe(self, count):
        """Makes tasks whose pictures no worker may copy yet."""
        worker = self.system.start_worker(WORKER_ROLES="ark")
        self.system.load("tasks", clients=min(32, count), tasks=count, deadline="60s")
        self.system.end(worker)
        for lane in self.redis("ZRANGE", f"{KEYS}lanes:copies", 0, -1):
            self.redis("ZADD", f"{KEYS}lanes:copies", 10**15, lane)

    def start_worker(self, **options):
        return self.system.start_worker(OUTBOX_CONCURRENCY=self.parallel, **options)

    def release(self):
        """Returns the time at which the first copy had not begun yet, at most 1 ms before its begin: workers ask twice a second."""
        for lane in self.redis("ZRANGE", f"{KEYS}lanes:copies", 0, -1):
            self.redis("ZADD", f"{KEYS}lanes:copies", 0, lane)
        deadline = Deadline()
        while True:
            looked = time.monotonic()
            if self.redis("EXISTS", f"{KEYS}leased:copies") or self.is_done():
                return looked - 0.001
            if deadline.passed():
                raise RuntimeError("no copy was leased")
            time.sleep(0.001)

    def is_done(self):
        return not self.redis("EXISTS", f"{KEYS}leased:copies", f"{KEYS}lanes:copies")

    def pictures(self):
        """Of each picture: state, tries, day, id."""
        found = []
        for key in self.redis("KEYS", f"{KEYS}picture:*"):
            state, tries, day = self.redis("HMGET", key, "state", "tries", "day")
            found.append((state.decode(), int(tries or 0), day.decode(), key.decode().rpartition(":")[2]))
        return found


class RenewalWatch:
    """How near a lease of a task, which is renewed every third of it, came to its end. Sampled."""

    def __init__(self, redis, lease_ms):
        self.redis, self.lease_ms = redis, lease_ms
        self.least_ms, self.late, self._was_late = lease_ms, 0, False

    def look(self):
        first = self.redis("ZRANGE", f"{KEYS}leased", 0, 0, "WITHSCORES")
        if not first:
            return
        left_ms = float(first[1]) - time.time() * 1000
        is_late = left_ms < self.lease_ms / 2       # renewed in time, at least two thirds are left
        self.late += is_late and not self._was_late
        self._was_late = is_late
        self.least_ms = min(self.least_ms, left_ms)


def anonymous_kib(pid):
    """From status: smaps_rollup would lock the memory map of a busy process at each look."""
    return int(re.search(r"^RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.M).group(1))


def curl_down(place, folder, count):
    """Seconds of curl for as many pictures into the folder, and with a sync of the file system."""
    folder.mkdir()
    lines = "".join(f'url = "{place.url}/{n}.png"\noutput = "{folder}/{n}.png"\n' for n in range(count))
    began = time.monotonic()
    curl(place, lines, count)
    ended = time.monotonic()
    run("sync", "-f", folder)
    return ended - began, time.monotonic() - began


def curl_up(place, folder, count):
    lines = "".join(f'url = "{place.url}/pictures/curl/{n}.png"\nupload-file = "{folder}/{n}.png"\n' for n in range(count))
    began = time.monotonic()
    curl(place, lines, count, "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "bench:bench-secret")
    return time.monotonic() - began


def curl(place, lines, parallel, *words):
    config = place.folder / "curl.txt"
    config.write_text(lines, encoding="ascii")
    run("curl", "--silent", "--show-error", "--fail", "--insecure", "--parallel", "--parallel-immediate", "--parallel-max", parallel, *words, "--config", config)


def wrk(place, base, paths, seconds, connections=32, pause_ms=0):
    """Bytes per second of GETs of these paths in turn, with a pause between those of a connection."""
    script = place.folder / "paths.lua"
    script.write_text("local paths, n = {" + ",".join(f'"{path}"' for path in paths) + "}, 0\n"
                      "request = function() n = n % #paths + 1; return wrk.format('GET', paths[n]) end\n"
                      + (f"delay = function() return {pause_ms} end\n" if pause_ms else "") +
                      "done = function(s) local e = s.errors; io.write(string.format('RESULT %d %d %d\\n', s.bytes, s.duration, "
                      "e.connect + e.read + e.write + e.status + e.timeout)) end\n", encoding="ascii")
    out = run("wrk", "-t", 2, "-c", connections, "-d", f"{seconds}s", "-s", script, base)
    size, took_us, wrong = map(int, re.search(r"RESULT (\d+) (\d+) (\d+)", out).groups())
    return size / (took_us / 1e6), wrong


def fetch_once(place, base, paths, parallel=32):
    """Seconds of one GET of each path."""
    began = time.monotonic()
    curl(place, "".join(f'url = "{base}{path}"\noutput = "/dev/null"\n' for path in paths), parallel)
    return time.monotonic() - began


@contextlib.contextmanager
def background(work):
    """Repeats `work` until the block ends. Its error is raised at that end."""
    stop, problems = threading.Event(), []

    def repeat():
        try:
            while not stop.is_set():
                work()
        except (OSError, RuntimeError) as error:
            problems.append(error)
    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    if problems:
        raise problems[0]


def start_tls_gateway(system, place):
    """A second gateway on the same storage, with TLS; returns its URL."""
    address = f"127.0.0.1:{free_port()}"
    gateway = system.run("tls", [system.arkrelay / "arkrelay-gateway"], {
        "GATEWAY_LISTEN": address, "REDIS_URL": system.redis.url, "LOG_LEVEL": "warn", "GATEWAY_CONNECTIONS_PER_ADDRESS": 0,
        **system.options, **place.pair.options()})
    gateway.name = "gateway-tls"
    eventually(lambda: fetch(address, "GET", "/readyz", tls=place.pair.trust()).status == 200 if is_listening(address) else False, "the gateway with TLS is ready")
    return f"https://{address}"
