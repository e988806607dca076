"""Shared by the tests of stored pictures: programs with a storage, a task with pictures, and a server of one picture."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import types

from support.processes import ProcessTest, eventually
from support.world import World, sim

PREFIX = "arkrelay:{0}:"
ADMIN_KEY = "k" * 32
IMAGE = (pathlib.Path(__file__).parents[1] / "data/images/rgb.png").read_bytes()


class PictureTest(ProcessTest):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.store = pathlib.Path(self.folder, "pictures")

    def world(self, **options):
        world = self.enterContext(World(**options))
        self.redis = world.redis
        return world

    def place(self):
        """The storage options of a program."""
        return {"STORAGE": self.store}

    def storage(self, **options):
        return {**self.place(), "OUTBOX_LEASE": "2s", **options}

    def start(self, world, gateway=(), **worker):
        return world.gateway(**self.place(), **dict(gateway)), world.worker(**self.storage(**worker))

    def make(self, gateway, name="t1", directives="images=1", **fields):
        """A task's events."""
        with gateway.generate(name, prompt=sim(name, directives), **fields) as stream:
            events = stream.to_end()
        self.assertEqual(events[-1].event, "done", events)
        return [types.SimpleNamespace(event=event.event, data=json.loads(event.data)["data"]) for event in events]

    def picture(self, image, field):
        value = self.redis("HGET", PREFIX + "picture:" + image["id"], field)
        return value and value.decode()

    def wait_state(self, image, state):
        eventually(lambda: self.picture(image, "state") == state, f"the picture is {state}", 10)

    def files(self):
        return sorted(path.name for path in self.store.glob("2*/*"))

    def log(self, name):
        return [element.decode() for element in self.redis("LRANGE", f"{PREFIX}events:public.{name}", 2, -1)]

    def says(self, gateway):
        """What `arkctl doctor` says about the storage: (status, text) of each line."""
        arkctl = pathlib.Path(__file__).parents[2] / "cli/arkctl"
        run = subprocess.run([sys.executable, arkctl, "--url", gateway.url, "--admin-key", ADMIN_KEY, "--json", "doctor"], capture_output=True, text=True, check=False,
                             env={"PATH": os.environ["PATH"], "NO_COLOR": "1"})
        return [(check["status"], check["text"]) for check in json.loads(run.stdout)["checks"] if check["check"] == "storage"]

    def break_storage(self):
        """No picture can be stored, also by root, until the storage is repaired: a file has the name of the directory of temporary files."""
        (self.store / "tmp").rmdir()
        (self.store / "tmp").touch()

    def mend_storage(self):
        (self.store / "tmp").unlink()

    def temporary(self):
        return [path.name for path in (self.store / "tmp").iterdir()]


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        if not isinstance(sys.exc_info()[1], OSError):      # clients that go away are part of the tests
            super().handle_error(*_)


class Slow:
    """A server of one picture that waits for go_on in the middle of it; `status` and `body` may be set. cut: it ends in the middle."""

    def __init__(self, body=IMAGE, status=200, waits=True, cut=False):
        outer = self
        self.asked, self.go_on, self.requests = threading.Event(), threading.Event(), 0
        self.body, self.status, self.waits, self.cut = body, status, waits, cut

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body[:100])
                self.wfile.flush()
                outer.asked.set()
                if outer.cut:
                    self.close_connection = True
                    return
                if outer.waits:
                    outer.go_on.wait(20)
                try:
                    self.wfile.write(outer.body[100:])
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
