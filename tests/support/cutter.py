"""A TCP proxy that cuts the answers of an HTTP server, as a connection breaks: what was not passed on was not read either, so the server's
connection is reset.

    cutter = Cutter(gateway.address)
    cutter.cut("head")          # the next answer: "before" its first byte, in its "head", or in its "body"; may be called several times
    fetch(cutter.address, ...)
    cutter.answers              # how many answers have begun
"""

import collections
import selectors
import socket
import threading

HEAD_END = b"\r\n\r\n"


class Cutter:
    def __init__(self, target):
        """target: "host:port"."""
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._cuts = collections.deque()
        self.answers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.url = f"http://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, where):
        self._cuts.append(where)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(self._target) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            asked = False
            try:
                while True:
                    for ready, _ in selector.select():
                        if ready.fileobj is client:
                            if not (piece := client.recv(1 << 16)):
                                return
                            server.sendall(piece)
                            asked = True
                        elif asked:
                            asked = False
                            self.answers += 1
                            if self._cuts:
                                self._pass_part(server, client, self._cuts.popleft())
                                return
                        elif not (piece := server.recv(1 << 16)):
                            return
                        else:
                            client.sendall(piece)
            except OSError:
                pass        # one of them is gone, so the other one is closed

    @staticmethod
    def _pass_part(server, client, where):
        """Leaves the rest of the answer unread."""
        room = 0
        while where != "before" and not room:
            seen = server.recv(1 << 16, socket.MSG_PEEK)
            head, end, body = seen.partition(HEAD_END)
            if end and (body or where == "head"):
                room = len(head) // 2 if where == "head" else len(head) + len(end) + max(len(body) // 2, 1)
        if room:
            client.sendall(server.recv(room))
