"""Replays recordings of real clients and proxies byte for byte against a gateway, a worker and the simulator.

The recordings are in tests/data/clients; tests/clients/README.md describes their origin.
"""

import contextlib
import json
import re
import shutil
import socket
import unittest

from support.http_client import Connection
from support.nginx import Nginx
from support.recordings import FOLDER, expected_body, read_index, recordings
from support.world import World

CUTS = (1, 17, 150)     # bytes per send
NGINX = """
    upstream gateway { server {gateway}; keepalive 4; }
    server {
        listen 127.0.0.1:{port};
        location / {
            proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_request_buffering off; proxy_buffering off;
        }
    }"""


def events(response):
    return re.findall(r"^event: (\w+)$", response.body.decode(), re.M)


def answer(connection):
    """The next response, without interim (1xx) responses."""
    while (response := connection.response()).status == 100:
        pass
    return response


class RecordedClientsTest(unittest.TestCase):
    """All tests share the programs, because starting them takes longer than a test."""

    @classmethod
    def setUpClass(cls):
        cls.recordings = recordings()
        cls.world = World()
        cls.addClassCleanup(cls.world.__exit__, None, None, None)
        cls.gateway = cls.world.gateway()
        cls.world.worker(ARK_IMAGES_PER_MINUTE=0)
        for recording in cls.recordings:
            if any("/tasks/" in request.path for request in recording.requests):
                cls.gateway.submit(recording.name)

    def assert_answer(self, expected, response):
        if expected == "done":
            self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream; charset=utf-8"))
            self.assertEqual(events(response)[-1:], ["done"], response.body)
        else:
            self.assertEqual(str(response.status), expected, response.body)

    def play(self, recording, sends, half_close=False):
        """Sends these pieces, then expects all responses."""
        with Connection(self.gateway.address) as connection:
            for piece in sends:
                connection.send(piece)
            if half_close:
                connection.socket.shutdown(socket.SHUT_WR)
            for expected in recording.answers:
                self.assert_answer(expected, answer(connection))
            self.assertEqual(connection.unread(), b"")

    def play_in_turn(self, recording, address):
        """Sends one request after the other, as the client did, and returns the open connection."""
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(Connection(address))
            for request, expected in zip(recording.requests, recording.answers, strict=True):
                connection.send(request.raw)
                self.assert_answer(expected, answer(connection))
            stack.pop_all()
        return connection

    def test_each_client_gets_the_expected_answers(self):
        for recording in self.recordings:
            with self.subTest(recording.name), self.play_in_turn(recording, self.gateway.address) as connection:
                if recording.requests[-1].closes:
                    self.assertEqual(connection.wait_closed(), b"")
                if recording.requests[0].method == "POST" and recording.answers[0] == "done":
                    stored = json.loads(self.world.find(recording.name).request)
                    self.assertEqual({**stored, "task_id": recording.name}, expected_body(recording.name))

    @unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
    def test_each_client_through_an_unbuffered_proxy(self):
        with Nginx(NGINX.replace("{gateway}", self.gateway.address)) as nginx:
            for recording in self.recordings:
                with self.subTest(recording.name), self.play_in_turn(recording, nginx.address):
                    pass

    def test_requests_in_small_pieces(self):
        for recording in self.recordings:
            for size in CUTS:
                with self.subTest(recording.name, size=size):
                    self.play(recording, [recording.raw[at:at + size] for at in range(0, len(recording.raw), size)])

    def test_all_requests_in_one_send(self):
        for recording in self.recordings:
            with self.subTest(recording.name):
                self.play(recording, [recording.raw])

    def test_half_close_after_the_last_request(self):
        for recording in self.recordings:
            with self.subTest(recording.name):
                self.play(recording, [recording.raw], half_close=True)


class IndexTest(unittest.TestCase):
    def test_the_index_matches_the_files(self):
        for recording, row in zip(recordings(), read_index(), strict=True):
            with self.subTest(recording.name):
                self.assertEqual(recording.row(), tuple(row.values()))

    def test_every_file_is_in_the_index_and_every_row_has_a_file(self):
        self.assertEqual({f"{row['name']}.http" for row in read_index()}, {path.name for path in FOLDER.glob("*.http")})

    def test_every_recorded_body_has_the_same_meaning(self):
        for recording in recordings():
            for request, expected in zip(recording.requests, recording.answers, strict=True):
                with self.subTest(recording.name):
                    if request.method == "POST" and expected == "done":
                        self.assertEqual(json.loads(request.decoded), expected_body(recording.name))


if __name__ == "__main__":
    unittest.main()
