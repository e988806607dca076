"""A TLS server in front of the ARK simulator, which can become unreachable in the ways in which a network fails.

    with ArkFront(world.ark.address) as front:
        world.worker(under=front.under, **front.options())
        front.begin("refused")              # a kind of front.kinds
        front.end()

refused: nothing listens. tls: the server answers without TLS. dns: the name does not resolve; libcurl notices when what it has cached
expires, after a minute. For the last one, the programs need a mount namespace with their own /etc/hosts (front.under); without the
permission to create one, "dns" is not in front.kinds.
"""

import asyncio
import os
import ssl
import subprocess
import tempfile
import threading

from support.certificates import Pair

NAME = "ark.test"
ENTER = 'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec "$@"'
PIECE = 1 << 16


class ArkFront:
    def __init__(self, ark_address):
        self._folder = tempfile.TemporaryDirectory(prefix="ark-front-")
        self._ark = ark_address.rpartition(":")[::2]
        self._pair = Pair(self._folder.name, NAME, "localhost")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self._pair.cert, self._pair.key)
        self.under = self._own_hosts()
        self.kinds = ("refused", "tls", "dns") if self.under else ("refused", "tls")
        self._kind = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server, self.port = None, 0
        self._await(self._listen(self._tls))
        self.address = f"127.0.0.1:{self.port}"

    def options(self, port=None):
        """port: of a proxy in front of this server."""
        name = NAME if self.under else "localhost"
        return {"ARK_BASE_URL": f"https://{name}:{port or self.port}/api/v3", "ARK_CA_FILE": self._pair.cert}

    def begin(self, kind):
        self._kind = kind
        if kind == "dns":
            self._write("hosts", "")
        else:
            self._loop.call_soon_threadsafe(self._server.close)
        if kind == "tls":
            self._await(self._listen(None))

    def end(self):
        kind, self._kind = self._kind, None
        if kind == "dns":
            self._write("hosts", f"127.0.0.1 {NAME}\n")
            return
        if kind == "tls":
            self._loop.call_soon_threadsafe(self._server.close)
        self._await(self._listen(self._tls))

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- files

    def _write(self, name, text):
        """In place: a file that is mounted elsewhere cannot be replaced."""
        with open(os.path.join(self._folder.name, name), "w", encoding="ascii") as file:
            file.write(text)

    def _own_hosts(self):
        self._write("hosts", f"127.0.0.1 {NAME}\n")
        self._write("nsswitch.conf", "hosts: files\n")
        words = ("unshare", "--mount", "sh", "-c", ENTER, self._folder.name)
        allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
        return words if allowed else ()

    # -- the server, in its own thread

    def _await(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self, tls):
        self._server = await asyncio.start_server(self._serve if tls else _answer_without_tls, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        try:
            from_ark, to_ark = await asyncio.open_connection(*self._ark)
        except OSError:
            writer.transport.abort()
            return
        ways = {asyncio.ensure_future(_copy(reader, to_ark)), asyncio.ensure_future(_copy(from_ark, writer))}
        _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in rest:
            way.cancel()
        to_ark.close()


async def _answer_without_tls(_, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _copy(reader, writer):
    """Until either end closes; a reset is passed on as a connection that ends without a TLS close."""
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()
