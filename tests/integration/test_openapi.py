"""docs/openapi.json: it is valid, the gateway serves it, its paths are those of the gateway, and every listed response occurs: it is
provoked here, or UNPROVOKED has the reason why not.

support/conformance.py checks all responses that http_client reads against the document."""

import hashlib
import json
import pathlib
import re
import tempfile
import threading
import unittest

from gateway_case import GatewayTest
from support import conformance
from support.client_key import Key
from support.http_client import fetch
from support.processes import eventually
from support.schema import Compiler, Mismatch, Validator, unknown_keywords
from support.world import BASE, request

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "the-operators-key-of-this-test"
DOCUMENT = conformance.description.document

# Statuses of the HTTP server itself, possible for every path. test_gateway_requests and the HTTP tests provoke them.
OF_ANY_ADDRESS = {400, 408, 411, 413, 414, 417, 431, 500, 501, 505}
UNPROVOKED = {
    ("openaiListModels", 503): "too many connections, which any address says alike: tests of the HTTP server", ("openaiGetModel", 503): "likewise",
    ("listModels", 503): "too many connections, or a limit of requests that Redis cannot count: test_gateway_keys has it for all addresses",
    ("getLive", 503): "too many connections, which any address says alike: tests of the HTTP server",
    ("getPlayground", 503): "likewise", ("getDashboard", 503): "likewise", ("getOpenapi", 503): "likewise", ("getMetrics", 503): "likewise",
    **({} if (ROOT / "gateway/pages/dashboard.html").exists() else {("getDashboard", 200): "not there", ("getDashboard", 304): "not there"}),
    **{("getPicture", status): "test_pictures.py" for status in (200, 206, 302, 304, 416, 503)},
    **{("upload", status): "test_uploads.py" for status in (200, 201, 406, 415, 422, 503)},
    ("erasePicture", 204): "test_pictures.py", ("erasePicture", 503): "likewise",
    ("eraseUpload", 204): "test_uploads.py", ("eraseUpload", 503): "likewise",
    **{("openaiEditImages", status): "test_openai_edits.py, and the same order as of openaiGenerateImages" for status in (200, 404, 415, 422, 424, 429, 503)},
    ("getPlayground", 404): "a program built without its pages", ("getDashboard", 404): "likewise",
}


class Document(unittest.TestCase):
    def schemas(self):
        """(where, schema) of every schema in the document."""
        for name, schema in DOCUMENT["components"]["schemas"].items():
            yield name, schema

        def contents(where, value):
            if isinstance(value, dict):
                for name, part in value.items():
                    if name == "schema":
                        yield where, part
                    else:
                        yield from contents(f"{where}/{name}", part)
            elif isinstance(value, list):
                for i, part in enumerate(value):
                    yield from contents(f"{where}/{i}", part)
        yield from contents("paths", DOCUMENT["paths"])
        for kind in ("responses", "headers", "parameters"):
            yield from contents(kind, DOCUMENT["components"][kind])

    def test_every_schema_is_valid_json_schema_2020_12(self):
        for where, schema in self.schemas():
            with self.subTest(where):
                Validator.check_schema(schema)
                self.assertEqual(unknown_keywords(schema), set())

    def test_values_match_their_schemas_or_not(self):
        event = {"event": "process", "data": {"task_id": "t", "message": "m", "stage": "calling", "attempt": 1}}
        task = {"task_id": "t", "status": "queued", "attempts": 0, "paid_calls": 0, "max_paid_calls": 2, "unknown_calls": 0, "epoch": 1,
                "created_at": "2026-11-22T15:40:42.123Z", "timing": {"queued_ms": None, "total_ms": 1},
                "links": {"self": "a", "stream": "b", "cancel": "c"}}
        table = [
            ("an event", "Event", event, True), ("of another stage", "Event", {**event, "data": {**event["data"], "stage": "x"}}, False),
            ("without its attempt", "Event", {"event": "process", "data": {"task_id": "t", "message": "m", "stage": "calling"}}, False),
            ("a task", "Task", task, True), ("a number as text", "Task", {**task, "attempts": "0"}, False),
            ("true is no number", "Task", {**task, "attempts": True}, False), ("below 0", "Task", {**task, "attempts": -1}, False),
            ("another state", "Task", {**task, "status": "lost"}, False), ("a bad id", "Task", {**task, "task_id": "-"}, False),
            ("a nested mismatch", "Task", {**task, "generated_images": [{"url": 1}]}, False),
            ("a request", "GenerateRequest", {"urls": ["https://a.example"]}, True),
            ("with a typo", "GenerateRequest", {"urls": ["https://a.example"], "promt": "x"}, False),
            ("a text", "GenerateRequest", {"prompt": "x"}, True), ("a text, no links", "GenerateRequest", {"prompt": "x", "urls": []}, True),
            ("nothing", "GenerateRequest", {}, False), ("without links", "GenerateRequest", {"urls": []}, False), ("with 15", "GenerateRequest", {"urls": ["http://a.b"] * 15}, False),
            ("no link", "GenerateRequest", {"urls": ["ftp://a.b"]}, False),
        ]
        compiler = Compiler(DOCUMENT)
        for name, schema, value, good in table:
            with self.subTest(name):
                check = compiler.compile({"$ref": f"#/components/schemas/{schema}"})
                if good:
                    check(value)
                else:
                    self.assertRaises(Mismatch, check, value)

    def test_closed_objects_have_no_other_members(self):
        check = Compiler(DOCUMENT).compile({"$ref": "#/components/schemas/Paused"}, closed=True)
        check({"paused": True})
        self.assertRaises(Mismatch, check, {"paused": True, "other": 1})

    def test_closed_objects_at_every_depth(self):
        number, text = {"properties": {"n": {"type": "integer"}}}, {"type": "string"}
        compiler = Compiler({"components": {"schemas": {"Number": number}}})
        number = {"$ref": "#/components/schemas/Number"}
        table = [
            ("a member", {"properties": {"a": number}}, {"a": {"n": 1}}, {"a": {"n": 1, "x": 1}}),
            ("an item", {"items": number}, [{"n": 1}], [{"n": 1, "x": 1}]),
            ("the value of any other member", {"additionalProperties": number}, {"x": {"n": 1}}, {"x": {"n": 1, "x": 1}}),
            ("the parts of allOf together", {"allOf": [number, {"properties": {"b": text}}]}, {"n": 1, "b": "x"}, {"n": 1, "x": 1}),
            ("below a part of allOf", {"allOf": [{"properties": {"a": number}}]}, {"a": {"n": 1}}, {"a": {"x": 1}}),
            ("one of several", {"oneOf": [number, {"properties": {"b": text}, "required": ["b"]}]}, {"b": "x"}, {"b": "x", "x": 1}),
            ("no other member", {"properties": {"b": text}, "additionalProperties": False}, {"b": "x"}, {"x": 1}),
            ("an integer", {"type": "integer"}, 1, 1.0),
        ]
        for name, schema, good, bad in table:
            with self.subTest(name):
                check = compiler.compile(schema, closed=True)
                check(good)
                self.assertRaises(Mismatch, check, bad)

    def test_a_misspelled_keyword_is_found(self):
        self.assertEqual(unknown_keywords({"allOf": [{"properties": {"a": {"type": "string", "maxlength": 1}}}]}), {"maxlength"})

    def test_references_are_valid_and_all_components_are_used(self):
        text = json.dumps(DOCUMENT)
        used = set(re.findall(r'"\$ref": "#/components/([^"]+)"', text))
        there = {f"{kind}/{name}" for kind, members in DOCUMENT["components"].items() if kind != "securitySchemes" for name in members}
        self.assertEqual(used - there, set())
        self.assertEqual(there - used, {"responses/405-method_not_allowed"}, "in no operation")

    def test_operation_names_and_version(self):
        self.assertEqual(DOCUMENT["openapi"], "3.1.0")
        version = re.search(r"project\(arkrelay VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
        self.assertEqual(DOCUMENT["info"]["version"], version)
        ids = [operation.id for operation in conformance.description.operations]
        self.assertEqual(len(ids), len(set(ids)))
        tags = {tag["name"] for tag in DOCUMENT["tags"]}
        for path, item in DOCUMENT["paths"].items():
            named = {parameter["name"] for parameter in map(conformance.description.compiler.resolve, item.get("parameters", ()))}
            self.assertEqual(named, set(re.findall(r"\{(\w+)\}", path)))
            for method in conformance.METHODS:
                if method in item:
                    self.assertLessEqual(set(item[method]["tags"]), tags)
                    for scheme in item[method]["security"]:
                        self.assertLessEqual(set(scheme), set(DOCUMENT["components"]["securitySchemes"]))

    def test_the_error_codes_match_the_programs(self):
        rows = re.findall(r'X\(\w+,\s*"(\w+)",\s*(\d+),\s*(true|false),', (ROOT / "common/base/problem.h").read_text())
        self.assertGreater(len(rows), 40)
        self.assertEqual(DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"], [code for code, status, _ in rows if status != "0"])
        self.assertEqual(DOCUMENT["components"]["schemas"]["Failure"]["properties"]["code"]["enum"], [code for code, status, _ in rows if status == "0"])
        statuses = {code: int(status) for code, status, _ in rows}
        used = set()
        for name, response in DOCUMENT["components"]["responses"].items():
            if name == "openai_error":
                continue
            status, *codes = name.split("-")
            enum = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
            self.assertEqual((codes, {statuses[code] for code in codes}), (enum, {int(status)}))
            used |= set(codes)
        self.assertEqual(used, {code for code, status in statuses.items() if status})

    def test_the_paths_match_the_gateway(self):
        table = (ROOT / "gateway/routes.c").read_text()
        routes = set()
        bases = {"API_BASE ": BASE, "OPENAI_BASE ": "/v1", "": ""}
        for method, base, path in re.findall(r'\{HTTP_(\w+),\s*(API_BASE |OPENAI_BASE |)"([^"]+)"', table):
            routes.add((method, bases[base] + path.replace("{path}", "{day}/{id}")))
        self.assertEqual(len(routes), table.count("{HTTP_"))
        described = {(operation.method.upper(), operation.path) for operation in conformance.description.operations}
        self.assertEqual({route for route in routes if not route[1].startswith("/pages/")}, described)


class Served(GatewayTest):
    def test_the_document_is_served_unchanged_with_no_cache(self):
        gateway = self.world.gateway()
        answer = gateway.get("/openapi.json")
        self.assertEqual((answer.status, answer.headers["content-type"], answer.headers["cache-control"], answer.headers["access-control-allow-origin"]),
                         (200, "application/json", "no-cache", "*"))
        self.assertEqual(answer.body, (ROOT / "docs/openapi.json").read_bytes())
        etag = answer.headers["etag"]
        for value in (etag, f'"x", {etag}', f"W/{etag}", "*"):
            again = gateway.get("/openapi.json", **{"If-None-Match": value})
            self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", etag))
        self.assertEqual(gateway.get("/openapi.json", **{"If-None-Match": '"other"'}).status, 200)


class EveryAnswer(GatewayTest):
    """Provokes every listed response in one world."""

    def fetch(self, method, path, body=None, gateway=None, **headers):
        return fetch((gateway or self.gateway).address, method, path, body, headers)

    def admin(self, method, path, **options):
        return self.fetch(method, f"/admin/{path}", Authorization=f"Bearer {KEY}", **options)

    def fail_task(self, task_id):
        self.gateway.submit(task_id)
        job = self.claim(task_id)
        failure = json.dumps({"code": "ark_overloaded", "error": "why", "retryable": True})
        self.run_script("finish", job.id, job.fence, "failed", "none", 0, failure)

    def test_every_listed_response_occurs(self):
        conformance.seen.clear()
        self.gateway = self.world.gateway(GATEWAY_ADMIN_KEY=KEY, GATEWAY_QUEUE_LIMIT=1000, GATEWAY_TASK_LIST="on", WEBHOOK_SECRET="0" * 32)
        self.clients()
        self.operators()
        self.openai()
        self.health_and_pages()
        self.keys()
        self.without_redis()
        listed = {(operation.id, status) for operation in conformance.description.operations for status in operation.answers}
        wanted = {(id, status) for id, status in listed if status not in OF_ANY_ADDRESS or (status == 400 and id in ("generate", "generateStream", "followTask", "listTasks", "getUsage", "getAllUsage"))}
        missing = wanted - set(conformance.seen) - set(UNPROVOKED)
        self.assertEqual(missing, set(), "listed, and neither provoked nor excused")
        self.assertLessEqual(set(UNPROVOKED), listed)

    def clients(self):
        for path, accept in ((f"{BASE}/generate", "application/json"), (f"{BASE}/generate/stream", "text/event-stream")):
            self.fetch("POST", path, "{")
            self.fetch("POST", path, request("t1"), Accept="image/png")
            self.fetch("POST", path, request("t1"), **{"Content-Type": "text/plain"})
            self.fetch("POST", path, request("t1", prompt=""))
            self.gateway.submit("conflict")
            self.fetch("POST", path, request("conflict", prompt="other"), Accept=accept)
        self.gateway.cancel("conflict")
        self.gateway.submit("t1")
        self.gateway.submit("t1")
        with self.gateway.generate("t1") as stream:
            stream.next_event()
        self.gateway.task("t1")
        self.gateway.task("none")
        self.gateway.erase("t1")
        self.gateway.erase("none")
        job = self.claim("t1")
        self.gateway.cancel("t1")
        self.gateway.cancel("none")
        job.finish()
        self.gateway.cancel("t1")
        self.gateway.submit("t2")
        self.gateway.cancel("t2")
        with self.gateway.follow("t1") as stream:
            last = stream.to_end()[-1].id
        for id in (last, "x", None):
            with self.gateway.follow("t1" if id else "none", id) as stream:
                self.assertTrue(stream.refused)
        self.fetch("GET", f"{BASE}/tasks/t1/stream", Accept="image/png")
        self.gateway.erase("t1")
        self.gateway.get(f"{BASE}/queue")
        self.gateway.get(f"{BASE}/models")
        self.gateway.get(f"{BASE}/tasks")
        self.gateway.get(f"{BASE}/tasks?state=x")
        self.world.gateway().get(f"{BASE}/tasks")
        self.gateway.submit("t3", webhook="https://example.com/")
        self.gateway.get(f"{BASE}/tasks/t3/webhook")
        self.gateway.cancel("t3")
        self.gateway.get(f"{BASE}/tasks/none/webhook")
        self.gateway.get(f"{BASE}/usage")
        self.gateway.get(f"{BASE}/usage?by=x")

    def operators(self):
        nobody = self.world.gateway()
        self.fail_task("failed")
        self.gateway.submit("runs")
        self.claim("runs")
        self.gateway.submit("waits")
        addresses = [("POST", "queue/pause"), ("POST", "queue/resume"), ("GET", "overview"), ("GET", "processes"), ("GET", "tasks"), ("GET", "usage"),
                     ("GET", "tasks/public.failed"), ("DELETE", "tasks/public.x"), ("POST", "tasks/public.x/retry"), ("POST", "tasks/public.x/cancel"),
                     ("POST", "tasks/public.x/resend"), ("GET", "tasks/public.x/webhook"), ("GET", "webhooks"), ("POST", "webhooks/resend"), ("POST", "webhooks/test")]
        for method, path in addresses:
            self.admin(method, path)
            self.admin(method, path, gateway=nobody)
            self.fetch(method, f"/admin/{path}")
        self.admin("GET", "tasks?state=x")
        self.admin("GET", "usage?by=x")
        for method, path in (("GET", "tasks/public.none"), ("POST", "tasks/public.failed/retry"), ("POST", "tasks/public.failed/retry"),
                             ("POST", "tasks/public.waits/cancel"), ("POST", "tasks/public.waits/cancel"), ("POST", "tasks/public.runs/cancel"),
                             ("DELETE", "tasks/public.runs"), ("DELETE", "tasks/public.waits")):
            self.admin(method, path)
        self.fetch("POST", "/admin/webhooks/test", {"url": "x"}, Authorization=f"Bearer {KEY}")
        self.fetch("POST", "/admin/webhooks/test", {"url": "https://example.com/"}, Authorization=f"Bearer {KEY}")
        for path in ("tasks/public.hooked/webhook", "tasks/public.hooked/resend"):
            self.gateway.submit("hooked", webhook="https://example.com/")
            self.gateway.cancel("hooked")
            self.admin("POST" if path.endswith("resend") else "GET", path)

    def openai(self):
        self.redis("FLUSHALL")          # the tasks of the other APIs
        self.fetch("POST", "/v1/images/generations", "{")
        self.fetch("POST", "/v1/images/generations", {"prompt": ""})
        self.fetch("POST", "/v1/images/generations", {"prompt": "x"}, **{"Content-Type": "text/plain"})
        self.gateway.get("/v1/models")
        self.gateway.get("/v1/models/dall-e-3")
        self.gateway.get("/v1/models/none")
        for key, end in (("done", self.finish_task), ("cancelled", self.gateway.cancel), ("gone", lambda _: self.redis("FLUSHALL"))):
            task_id = "img-" + hashlib.sha256(key.encode()).hexdigest()[:32]
            asking = threading.Thread(target=self.fetch, args=("POST", "/v1/images/generations", {"prompt": "x"}), kwargs={"Idempotency-Key": key})
            asking.start()
            eventually(lambda: self.world.find(task_id), "the task is there")
            end(task_id)
            asking.join()

    def finish_task(self, task_id):
        job = self.claim(task_id)
        job.begin()
        job.emit(0)
        job.finish()

    def health_and_pages(self):
        for path in ("/livez", "/readyz", "/metrics", "/", "/dashboard", "/openapi.json", "/p/20261207/" + "0" * 32):
            etag = self.gateway.get(path).headers.get("etag")
            if etag:
                self.gateway.get(path, **{"If-None-Match": etag})
        self.fetch("DELETE", "/p/20261207/" + "0" * 32)

    @staticmethod
    def body(operation):
        """A request that the operation accepts."""
        if not operation.takes:
            return None
        if operation.path == "/admin/webhooks/test":
            return {"url": "https://example.com/"}
        return {"prompt": "x"} if operation.path.startswith("/v1/") else request("t1")

    def keys(self):
        """Responses that need client keys and limits: 401 without a key, and one request per minute."""
        with tempfile.NamedTemporaryFile("w", prefix="arkrelay-keys-") as file:
            key = Key("shop")
            file.write(key.line("requests=1", "images=9"))
            file.flush()
            gateway = self.world.gateway(GATEWAY_KEYS_FILE=file.name)
            self.assertEqual(self.fetch("GET", f"{BASE}/queue", gateway=gateway, **key.header).status, 200)
            for operation in conformance.description.operations:
                if operation.path.startswith((BASE, "/v1/")) or operation.id == "erasePicture":
                    path, body = operation.path.replace("{day}", "20261207").replace("{id}", "t1"), self.body(operation)
                    self.fetch(operation.method.upper(), path, body, gateway)
                    self.fetch(operation.method.upper(), path, body, gateway, **key.header)
        self.assertEqual(self.fetch("GET", "/metrics").status, 401)

    def without_redis(self):
        self.world.redis_server.stop()
        for operation in conformance.description.operations:
            path = operation.path.replace("{id}", "public.t1" if operation.path.startswith("/admin/") else "t1")
            self.fetch(operation.method.upper(), path, self.body(operation), Authorization=f"Bearer {KEY}")


if __name__ == "__main__":
    unittest.main()
