"""forms.py CASE BASE: the multipart forms that Debian's python3-httpx, -requests and -aiohttp send to /v1/images/edits."""

import asyncio
import json
import pathlib
import sys

import aiohttp
import httpx
import requests

PROMPT = '换脸: "a" & b\r\n--x'
PICTURE = pathlib.Path("picture.png").read_bytes()
NAMES = ("a.png", '图 "b".png')
FIELDS = {"model": "gpt-image-1", "prompt": PROMPT, "n": "2"}
FILES = [("image[]", (name, PICTURE, "image/png")) for name in NAMES]


def use_httpx(url):
    """The way of OpenAI's Python SDK: httpx, fields first."""
    httpx.post(url, data=FIELDS, files=FILES, headers={"Authorization": "Bearer sk-recorded"}, trust_env=False)


def use_requests(url):
    session = requests.Session()
    session.trust_env = False
    session.post(url, data=FIELDS, files=FILES)


def use_aiohttp(url):
    async def run():
        form = aiohttp.FormData()
        for name in NAMES:
            form.add_field("image[]", PICTURE, filename=name, content_type="image/png")
        for name, value in FIELDS.items():
            form.add_field(name, value)
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
            await answer.read()
    asyncio.run(run())


def versions(_):
    print(json.dumps({"httpx": httpx.__version__, "requests": requests.__version__, "aiohttp": aiohttp.__version__}))


if __name__ == "__main__":
    {"httpx": use_httpx, "requests": use_requests, "aiohttp": use_aiohttp, "versions": versions}[sys.argv[1]](
        (sys.argv[2] if len(sys.argv) > 2 else "") + "/v1/images/edits")
