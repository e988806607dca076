"""A bucket for programs under test: the server of s3_server.py, which checks every signature with code of its own, in this process."""

import threading

from support.s3_server import ACCESS, BUCKET, REGION, SECRET, Handler, Server, Store


class Bucket:
    def __init__(self):
        self.store = Store()
        self.server = Server(("127.0.0.1", 0), type("Handler", (Handler,), {"store": self.store}))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def options(self, spool, prefix="/kept"):
        return {"STORAGE": f"s3://{BUCKET}{prefix}", "STORAGE_ENDPOINT": self.url, "STORAGE_REGION": REGION, "STORAGE_ACCESS_KEY": ACCESS,
                "STORAGE_SECRET_KEY": SECRET, "STORAGE_SPOOL": spool}

    def keys(self):
        with self.store.lock:
            return sorted(self.store.objects)

    def fail(self, status, code, times=1, method="PUT"):
        """The next requests of that method are answered with this error."""
        with self.store.lock:
            self.store.faults += [["fail", status, code, method]] * times

    def lose(self, times=1, method="PUT"):
        """The next requests of that method are executed, and not answered."""
        with self.store.lock:
            self.store.faults += [["lose", "", "", method]] * times

    def heal(self):
        with self.store.lock:
            self.store.faults.clear()
