"""A typical gateway for such a service: FastAPI, uvicorn, redis-py.

    PEER_REDIS=redis://127.0.0.1:6379 uvicorn fastapi_gateway:app --workers 2 --loop uvloop --http httptools --no-access-log

It has the requests, events and frames of arkrelay that the scenarios use: POST /generate/stream and POST /generate, without resume.
Each process has a pool of command connections and one pub/sub connection, whose messages it distributes to its streams. The log is one
list per task, the queue one list for all.
"""

import asyncio
import json
import logging
import os
import time
from typing import List, Optional

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, HttpUrl, constr
from redis import asyncio as aioredis

BASE = "/api/v1/faceflip"
HEARTBEAT_S = 15
KEPT_S = 24 * 3600
FINAL = (b"done", b"error")
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


class Generate(BaseModel):
    urls: List[HttpUrl]
    task_id: constr(regex=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
    prompt: Optional[str] = None
    max_images: Optional[int] = None


class Hub:
    """One subscription per open task, on one connection."""

    def __init__(self, redis):
        self.pubsub = redis.pubsub()
        self.queues = {}
        self.confirmed = {}

    async def start(self):
        """Connects before the first request. Two concurrent first requests would open two connections, and listen only to one."""
        await self.pubsub.subscribe("peer:nothing")

    async def run(self):
        async for message in self.pubsub.listen():
            channel = message["channel"].decode()
            if message["type"] == "subscribe" and channel in self.confirmed:
                self.confirmed[channel].set()
            elif message["type"] == "message":
                for queue in self.queues.get(channel, ()):
                    queue.put_nowait(message["data"])

    async def join(self, channel):
        queue = asyncio.Queue()
        self.queues.setdefault(channel, []).append(queue)
        if channel not in self.confirmed:
            self.confirmed[channel] = asyncio.Event()
            await self.pubsub.subscribe(channel)
        await self.confirmed[channel].wait()
        return queue

    async def leave(self, channel, queue):
        self.queues[channel].remove(queue)
        if not self.queues[channel]:
            del self.queues[channel], self.confirmed[channel]
            await self.pubsub.unsubscribe(channel)


app = FastAPI()


@app.on_event("startup")
async def start():
    pool = aioredis.BlockingConnectionPool.from_url(os.environ["PEER_REDIS"], max_connections=128, timeout=None)
    app.state.redis = aioredis.Redis(connection_pool=pool)
    app.state.hub = Hub(app.state.redis)
    await app.state.hub.start()
    app.state.reader = asyncio.create_task(app.state.hub.run())
    app.state.reader.add_done_callback(give_up)


def give_up(reader):
    """Without pub/sub messages no stream works, so the process ends; uvicorn logs the reason."""
    logging.error("the pub/sub reader ended", exc_info=None if reader.cancelled() else reader.exception())
    os._exit(1)


@app.get("/readyz")
async def ready():
    await app.state.redis.ping()
    return {"status": "ok"}


def event(kind, **data):
    return json.dumps({"event": kind, "data": data}, ensure_ascii=False, separators=(",", ":"))


async def submit(task):
    """Adds a new task to the queue. An existing task is not changed."""
    redis, name = app.state.redis, f"public.{task.task_id}"
    body = task.json(exclude_none=True)
    if not await redis.set(f"peer:task:{name}", body, nx=True, ex=KEPT_S):
        if (await redis.get(f"peer:task:{name}")).decode() != body:
            raise HTTPException(409, "this task_id has another request")
        return
    epoch = int(time.time() * 1000)
    start_event = event("start", task_id=task.task_id, message="开始生成图像...", position=1)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.set(f"peer:epoch:{name}", epoch, ex=KEPT_S)
        pipe.rpush(f"peer:events:{name}", f"1 start {start_event}")
        pipe.publish(f"peer:channel:{name}", f"1 start {start_event}")
        pipe.rpush("peer:queue", body)
        await pipe.execute()


def frame(epoch, element):
    n, kind, data = element.split(b" ", 2)
    return kind, b"id: %b-%b\nevent: %b\ndata: %b\n\n" % (epoch, n, kind, data)


async def frames(task):
    name = f"public.{task.task_id}"
    channel = f"peer:channel:{name}"
    hub, redis = app.state.hub, app.state.redis
    queue = await hub.join(channel)
    try:
        await submit(task)
        epoch = await redis.get(f"peer:epoch:{name}")
        log = await redis.lrange(f"peer:events:{name}", 0, -1)
        seen = len(log)
        for element in log:
            kind, text = frame(epoch, element)
            yield text
            if kind in FINAL:
                return
        while True:
            try:
                element = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
            except asyncio.TimeoutError:
                yield b": heartbeat\n\n"
                continue
            if int(element.split(b" ", 1)[0]) <= seen:
                continue
            seen += 1
            kind, text = frame(epoch, element)
            yield text
            if kind in FINAL:
                return
    finally:
        await hub.leave(channel, queue)


@app.post(BASE + "/generate/stream")
async def generate_stream(task: Generate):
    return StreamingResponse(frames(task), media_type="text/event-stream", headers=HEADERS)


@app.post(BASE + "/generate")
async def generate(task: Generate):
    await submit(task)
    return JSONResponse({"task_id": task.task_id, "status": "queued"}, 202)
