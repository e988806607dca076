"""A typical worker for such a service: asyncio on uvloop, redis-py, aiohttp, with CONCURRENCY calls at once.

    asyncio_worker.py REDIS_URL ARK_BASE_URL CONCURRENCY
"""

import asyncio
import json
import resource
import sys
import time

import aiohttp
import uvloop
from redis import asyncio as aioredis

MODEL = "doubao-seedream-4-0-250828"


def event(kind, **data):
    return json.dumps({"event": kind, "data": data}, ensure_ascii=False, separators=(",", ":"))


class Job:
    def __init__(self, redis, body):
        self.redis = redis
        self.request = json.loads(body)
        self.task_id = self.request["task_id"]
        self.n = 1                      # the first event is from the gateway

    async def tell(self, kind, **data):
        """Appends the event to the log and publishes it."""
        self.n += 1
        element = f"{self.n} {kind} {event(kind, task_id=self.task_id, **data)}"
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.rpush(f"peer:events:public.{self.task_id}", element)
            pipe.publish(f"peer:channel:public.{self.task_id}", element)
            await pipe.execute()

    async def call(self, session, url):
        body = {"model": MODEL, "prompt": self.request.get("prompt") or "a picture", "image": self.request["urls"],
                "size": "2K", "response_format": "url", "watermark": False,
                "sequential_image_generation": "disabled"}
        async with session.post(url, json=body, headers={"Authorization": "Bearer key"}) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def run(self, session, url):
        began = time.monotonic()
        try:
            await self.tell("process", message="正在调用ARK模型生成图像...", stage="calling", attempt=1)
            answer = await self.call(session, url)
            images = [{"url": item["url"], "size": item["size"]} for item in answer["data"]]
            for index, image in enumerate(images):
                await self.tell("process", message="图像已生成", stage="image", index=index, image=image)
            await self.tell("done", urls=self.request["urls"], generated_images=images, usage=answer.get("usage"),
                            timing={"ark_ms": int((time.monotonic() - began) * 1000)})
        except Exception as error:      # the client gets every error
            await self.tell("error", error=str(error), message="图像生成失败", code="failed", retryable=False)


async def main(redis_url, ark_url, concurrency):
    redis = aioredis.Redis(connection_pool=aioredis.BlockingConnectionPool.from_url(redis_url, max_connections=128, timeout=None))
    queue = aioredis.from_url(redis_url)
    pool = asyncio.BoundedSemaphore(concurrency)
    running = set()

    async def run(job):
        try:
            await job.run(session, url)
        finally:
            pool.release()

    url = f"{ark_url}/images/generations"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=300)) as session:
        print("ready", flush=True)
        while True:
            await pool.acquire()
            _, body = await queue.blpop("peer:queue")
            task = asyncio.create_task(run(Job(redis, body)))
            running.add(task)
            task.add_done_callback(running.discard)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    uvloop.install()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
