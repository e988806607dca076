"""Scenarios of stored pictures: serving them, beside nginx with the same files, and copying them, beside curl with the same links.

nginx and curl run on the same machine in the same run. Only for arkrelay; without nginx or wrk the scenario fails with that reason.
"""

import datetime
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

from bench.rows import Row, errors, ms
from support.certificates import Pair
from support.http_client import fetch
from support.images import png
from support.nginx import Nginx
from support.processes import eventually
from support.redis_server import free_port
from support.world import BASE

PICTURES = 50           # in turn, so that no single file is special
RECORD_BYTES = 192
CONNECTIONS = 16
ROUNDS = 3
STREAMS, EVENTS_PER_S = 200, 500
CACHES = pathlib.Path("/proc/sys/vm/drop_caches")
SECRETS = {"STORAGE_ACCESS_KEY": "bench", "STORAGE_SECRET_KEY": "bench"}
BUCKET = "bench"


def can_drop_caches():
    return os.access(CACHES, os.W_OK)


def drop_caches_if_allowed():
    if can_drop_caches():
        os.sync()
        CACHES.write_text("3", encoding="ascii")


def median(values):
    return sorted(values)[len(values) // 2]


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise RuntimeError(f"{program} is not installed")


# -- serving

def serving(kind, folder, size):
    """Rates of GET for whole pictures, plain and over TLS, with and without the files in memory; and what events wait meanwhile."""
    needs("nginx", "wrk")
    with tempfile.TemporaryDirectory(prefix="arkrelay-serving-") as place, kind(folder, workers=0, options={"STORAGE": f"{place}/pictures"}) as system:
        os.chmod(place, 0o755)      # for nginx
        pair = Pair(place)
        plain = {"arkrelay": f"http://{system.address}"}
        secure = {"arkrelay": f"https://{start_with_tls(system, pair, place)}"}
        rows = []
        with Nginx(site("{port}", place)) as nginx, Nginx(site(f"{{port}} ssl; ssl_certificate {pair.cert}; ssl_certificate_key {pair.key}", place)) as tls:
            plain["nginx"], secure["nginx"] = nginx.url, f"https://{tls.address}"
            for picture_bytes in size.picture_bytes:
                script = write_script(place, store_pictures(pathlib.Path(place, "pictures"), picture_bytes))
                for title, urls in (("plain", plain), ("TLS", secure)):
                    for state in ("warm", "dropped") if can_drop_caches() else ("warm",):
                        rows += compare(f"pictures of {picture_bytes / 1e6:g} MB, {title}, caches {state}", urls, script, size.seconds, state == "dropped")
        return rows + delays(system, plain["arkrelay"], script, size)


def store_pictures(store, size):
    """Writes the files of pictures, as a worker does. Returns their paths in links."""
    picture = png(1024, 1024, size)
    record = f"\narkrelay/1 sha256={hashlib.sha256(picture).hexdigest()} type=image/png pixels=1024x1024 owner=public"
    day = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=7)).strftime("%Y%m%d")
    (store / day).mkdir(parents=True, exist_ok=True)
    ids = [hashlib.md5(f"{size} {n}".encode()).hexdigest() for n in range(PICTURES)]
    for name in ids:
        (store / day / name).write_bytes(picture + record.ljust(RECORD_BYTES - 1).encode() + b"\n")
    return [f"/p/{day}/{name}" for name in ids]


def write_script(place, paths):
    """A program for wrk that requests the pictures in turn."""
    script = pathlib.Path(place, "in_turn.lua")
    listed = ", ".join(f'"{path}"' for path in paths)
    script.write_text(f'local paths, i = {{{listed}}}, 0\nrequest = function() i = i % #paths + 1 return wrk.format("GET", paths[i]) end\n', encoding="ascii")
    return script


def site(listen, place):
    return f"server {{ listen 127.0.0.1:{listen}; sendfile on; tcp_nopush on; keepalive_requests 1000000; location /p/ {{ alias {place}/pictures/; default_type image/png; }} }}"


def start_with_tls(system, pair, place):
    address = f"127.0.0.1:{free_port()}"
    gateway = system.run("gateway-tls", [system.arkrelay / "arkrelay-gateway"], {
        "GATEWAY_LISTEN": address, "REDIS_URL": system.redis.url, "LOG_LEVEL": "warn", "STORAGE": f"{place}/pictures", **pair.options()})

    def is_ready():
        try:
            return gateway.is_running() and fetch(address, "GET", "/readyz", tls=pair.trust()).status == 200
        except OSError:
            return False
    eventually(is_ready, "the gateway with TLS is ready")
    return address


def compare(what, urls, script, seconds, is_cold):
    """The rates of both in alternating rounds."""
    rates = {name: [] for name in urls}
    for number in range(ROUNDS):
        for name in list(urls) if number % 2 else list(urls)[::-1]:
            if is_cold:
                drop_caches_if_allowed()
            rates[name].append(wrk(urls[name], script, seconds))
    mine, other = median(rates["arkrelay"]), median(rates["nginx"])
    return [Row(what, mine, "GET/s", {"rates": rates}), Row(f"{what}, nginx", other, "GET/s"), Row(f"{what}, share of nginx", mine / other, "")]


def wrk(url, script, seconds):
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", script, url], capture_output=True, text=True, check=True)
    if re.search("Non-2xx|Socket errors", done.stdout):
        raise RuntimeError(f"wrk {url}: {done.stdout}")
    return float(re.search(r"Requests/sec: *([\d.]+)", done.stdout).group(1))


def delays(system, url, script, size):
    """The latency of events without other load, and while one client reads pictures as fast as it can."""
    rows = []
    for title in ("idle", "while pictures are read"):
        reader = None
        if title != "idle":
            reader = subprocess.Popen(["wrk", "-t1", "-c1", f"-d{int(size.seconds) + 20}s", "-s", script, url], stdout=subprocess.DEVNULL)
        try:
            run = system.load("streams", streams=STREAMS, for_=ms(size.seconds), rate=EVENTS_PER_S, deadline=ms(size.seconds + 60), **system.stream_options())
        finally:
            if reader:
                reader.kill()
                reader.wait()
        rows.append(Row(f"event latency, {title}, p99", run["took"]["p99_us"] / 1000, "ms", run, errors(run)))
    return rows


# -- copying

def copies(kind, folder, size):
    """From the moment a worker for copies starts until it has stored the pictures of as many tasks, all of which are due then."""
    needs("nginx", "curl")
    rows = []
    for where in (Directory, Bucket):
        with tempfile.TemporaryDirectory(prefix="arkrelay-copies-") as place:
            os.chmod(place, 0o755)
            pathlib.Path(place, "image.png").write_bytes(png(1024, 1024, size.copy_bytes))
            with Nginx(f"server {{ listen 127.0.0.1:{{port}}; sendfile on; location / {{ root {place}; try_files /image.png =404; }} }}") as ark:
                rows += copy_into(where(place), kind, folder, ark.url, size)
    return rows


def copy_into(where, kind, folder, ark, size):
    with where:
        mine, watch, before = copy_by_worker(where, kind, folder, ark, size)
        drop_caches_if_allowed()
        began = time.monotonic()
        where.curl(ark, size.copies)
        curl = time.monotonic() - began
    what = f"{size.copies} copies of {size.copy_bytes / 1e6:g} MB into {where.title}"
    return [Row(what, mine, "s"), Row(f"{what}, curl", curl, "s"), Row(f"{what}, share of curl's rate", curl / mine, ""),
            Row(f"{what}, growth of the worker", (watch.memory - before) / 1e6, "MB"),
            Row(f"{what}, longest wait of the worker's loop", watch.wait_s * 1000, "ms")]


def copy_by_worker(where, kind, folder, ark, size):
    options = {**where.options(), "ARK_IMAGE_URL_MAP": f"{ark}={ark}"}      # else the worker fetches nothing from private addresses
    with kind(folder, workers=0, options=options, simulator=["--public-url", ark]) as system:
        idle = system.start_worker(WORKER_ROLES="outbox")
        before = idle.memory()
        system.end(idle)
        owe(system, size.copies)
        drop_caches_if_allowed()
        began, worker = time.monotonic(), system.start_worker(WORKER_ROLES="outbox", OUTBOX_CONCURRENCY=size.copies)
        watch = Watch(worker, system.worker_address)
        try:
            eventually(lambda: where.count() == size.copies, "all pictures are stored", 300)
        finally:
            watch.end()
        return time.monotonic() - began, watch, before


def owe(system, count):
    """Runs `count` tasks with a worker that copies nothing."""
    worker = system.start_worker(WORKER_ROLES="ark")
    for n in range(count):
        fetch(system.address, "POST", f"{BASE}/generate", {"urls": ["https://example.com/1.jpg"], "task_id": f"copy{n}", "max_images": 1})
    redis = system.redis.client()
    eventually(lambda: len(redis("KEYS", "arkrelay:{0}:picture:*")) == count, "all tasks are done", 120)
    system.end(worker)


class Watch:
    """The most private memory of a worker, and the longest time that its loop let a request wait: renewals of leases wait as long."""

    def __init__(self, worker, address):
        self.worker, self.address, self.memory, self.wait_s = worker, address, worker.memory(), 0.0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self):
        while not self.is_over.wait(0.01):
            began = time.monotonic()
            fetch(self.address, "GET", "/livez")
            self.wait_s = max(self.wait_s, time.monotonic() - began)
            self.memory = max(self.memory, self.worker.memory())

    def end(self):
        self.is_over.set()
        self.thread.join()


class Directory:
    title = "a directory"

    def __init__(self, place):
        self.place = pathlib.Path(place)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def options(self):
        return {"STORAGE": self.place / "pictures"}

    def count(self):
        return len(list((self.place / "pictures").glob("2*/*")))

    def curl(self, url, count):
        """curl does not sync its files, so one sync follows."""
        subprocess.run(["curl", "-sfZ", "--no-progress-meter", "--parallel-max", str(count), "--create-dirs", "-o", f"{self.place}/curl/#1", f"{url}/[1-{count}]"], check=True)
        subprocess.run(["sync", "-f", self.place], check=True)


class Bucket:
    """An nginx that stores what is PUT. It checks no signature, so that it is not slower than what it is used for."""

    title = "a bucket"

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.root = self.place / "bucket"

    def __enter__(self):
        self.root.mkdir()
        os.chmod(self.root, 0o777)
        self.nginx = Nginx(f"server {{ listen 127.0.0.1:{{port}}; client_max_body_size 0; location / {{ root {self.root}; dav_methods PUT DELETE; create_full_put_path on; }} }}")
        return self

    def __exit__(self, *_):
        self.nginx.close()

    def options(self):
        return {"STORAGE": f"s3://{BUCKET}/kept", "STORAGE_ENDPOINT": self.nginx.url, "STORAGE_REGION": "bench", "STORAGE_SPOOL": self.place, **SECRETS}

    def count(self):
        return len([path for path in self.root.rglob("*") if path.is_file() and path.stat().st_size > RECORD_BYTES * 10])

    def curl(self, url, count):
        """Each picture is fetched into a file, and the file is sent on."""
        step = f"curl -sf -o {self.place}/curl-$0 {url}/$0 && curl -sf -T {self.place}/curl-$0 --aws-sigv4 aws:amz:bench:s3 --user bench:bench {self.nginx.url}/{BUCKET}/curl/$0"
        subprocess.run(["xargs", "-P", str(CONNECTIONS), "-n", "1", "sh", "-c", step], input="\n".join(map(str, range(count))), text=True, check=True)
