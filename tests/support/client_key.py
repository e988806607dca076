"""API keys of clients in the documented format, created without the program."""

import hashlib
import itertools
import os

FOR_EVER = "-"


class Key:
    numbers = itertools.count(1)

    def __init__(self, client):
        self.client, self.id = client, f"{next(self.numbers):012x}"
        text = f"arkrelay_{self.id}_{os.urandom(32).hex()}"
        self.token = text + hashlib.sha256(text.encode()).hexdigest()[:8]

    def line(self, *more, expires=FOR_EVER):
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        return " ".join([self.id, self.client, digest, "2026-01-01T00:00:00Z", expires, *more]) + "\n"

    @property
    def header(self):
        return {"Authorization": f"Bearer {self.token}"}
