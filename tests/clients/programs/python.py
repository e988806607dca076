"""python.py CASE BASE TASK: sends requests with Python's standard clients and Debian's python3-requests, -httpx and -aiohttp."""

import asyncio
import http.client
import json
import platform
import sys
import urllib.request

URLS = ["https://example.com/a.jpg", "https://example.com/b.jpg"]
JSON_TYPE = {"Content-Type": "application/json"}
LAST = {"Last-Event-ID": "1700000000000-2"}
API = "/api/v1/faceflip"


class Call:
    """Each method is a case; the first word of its name is the client."""

    def __init__(self, base, task):
        self.base, self.task = base, task
        self.authority = base.partition("//")[2]
        self.post = f"{API}/generate/stream"
        self.follow = f"{API}/tasks/{task}/stream"
        self.queue = f"{API}/queue"
        self.request = {"urls": URLS, "task_id": task, "prompt": "换脸"}
        self.body = json.dumps(self.request).encode()

    def pieces(self):
        yield self.body[:20]
        yield self.body[20:]

    async def async_pieces(self):
        for piece in self.pieces():
            yield piece

    # -- urllib

    def urllib_post(self):
        with urllib.request.urlopen(urllib.request.Request(self.base + self.post, self.body, JSON_TYPE)) as answer:
            answer.read()

    def urllib_chunked(self):
        with urllib.request.urlopen(urllib.request.Request(self.base + self.post, self.pieces(), JSON_TYPE)) as answer:
            answer.read()

    def urllib_resume(self):
        with urllib.request.urlopen(urllib.request.Request(self.base + self.follow, headers=LAST)) as answer:
            answer.read()

    def urllib_proxy(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": self.base}))
        with opener.open(urllib.request.Request(self.base + self.post, self.body, JSON_TYPE)) as answer:
            answer.read()

    # -- http.client

    def http_client_post(self):
        connection = http.client.HTTPConnection(self.authority)
        connection.request("POST", self.post, self.body, JSON_TYPE)
        connection.getresponse().read()

    def http_client_chunked(self):
        connection = http.client.HTTPConnection(self.authority)
        connection.request("POST", self.post, self.pieces(), JSON_TYPE)
        connection.getresponse().read()

    def http_client_resume(self):
        connection = http.client.HTTPConnection(self.authority)
        connection.request("GET", self.follow, headers=LAST)
        connection.getresponse().read()

    def http_client_twice(self):
        connection = http.client.HTTPConnection(self.authority)
        for _ in range(2):
            connection.request("GET", self.queue)
            connection.getresponse().read()

    # -- requests

    def requests_post(self):
        import requests
        with requests.post(self.base + self.post, json=self.request, stream=True) as answer:
            list(answer.iter_lines())

    def requests_chunked(self):
        import requests
        requests.post(self.base + self.post, data=self.pieces(), headers=JSON_TYPE)

    def requests_resume(self):
        import requests
        requests.get(self.base + self.follow, headers=LAST)

    def requests_twice(self):
        import requests
        with requests.Session() as session:
            session.get(self.base + self.queue)
            session.get(self.base + self.queue)

    def requests_post_then_get(self):
        import requests
        with requests.Session() as session:
            session.post(self.base + self.post, json=self.request)
            session.get(self.base + self.queue)

    def requests_proxy(self):
        import requests
        requests.post(self.base + self.post, json=self.request, proxies={"http": self.base})

    # -- httpx

    def httpx_post(self):
        import httpx
        httpx.post(self.base + self.post, json=self.request)

    def httpx_chunked(self):
        import httpx
        httpx.post(self.base + self.post, content=self.pieces(), headers=JSON_TYPE)

    def httpx_async_chunked(self):
        import httpx

        async def run():
            async with httpx.AsyncClient() as client:
                await client.post(self.base + self.post, content=self.async_pieces(), headers=JSON_TYPE)
        asyncio.run(run())

    def httpx_resume(self):
        import httpx
        httpx.get(self.base + self.follow, headers=LAST)

    def httpx_twice(self):
        import httpx
        with httpx.Client() as client:
            client.get(self.base + self.queue)
            client.get(self.base + self.queue)

    def httpx_proxy(self):
        import httpx
        httpx.post(self.base + self.post, json=self.request, proxies={"http://": self.base})

    # -- aiohttp

    def with_aiohttp(self, use):
        import aiohttp

        async def run():
            async with aiohttp.ClientSession() as session:
                await use(session)
        asyncio.run(run())

    def aiohttp_post(self):
        async def use(session):
            async with session.post(self.base + self.post, json=self.request) as answer:
                await answer.read()
        self.with_aiohttp(use)

    def aiohttp_chunked(self):
        async def use(session):
            async with session.post(self.base + self.post, data=self.async_pieces(), headers=JSON_TYPE) as answer:
                await answer.read()
        self.with_aiohttp(use)

    def aiohttp_resume(self):
        async def use(session):
            async with session.get(self.base + self.follow, headers=LAST) as answer:
                await answer.read()
        self.with_aiohttp(use)

    def aiohttp_twice(self):
        async def use(session):
            for _ in range(2):
                async with session.get(self.base + self.queue) as answer:
                    await answer.read()
        self.with_aiohttp(use)

    def versions(self):
        import aiohttp
        import httpx
        import requests
        print(json.dumps({"python": platform.python_version(), "requests": requests.__version__, "httpx": httpx.__version__,
                          "aiohttp": aiohttp.__version__}))


if __name__ == "__main__":
    getattr(Call(*(sys.argv[2:] or ["", ""])), sys.argv[1].replace("-", "_"))()
