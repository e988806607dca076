"""Checks the gateways' responses against docs/openapi.json.

http_client passes every response and every stream frame of a gateway of World to this module. The status must be listed by the
operation, required headers must be present, and the body must match the schema without further members. A request that was accepted
must be allowed by the description. `seen` counts (operationId, status).
"""

import collections
import json
import pathlib
import re

from support.schema import Compiler, Mismatch

FILE = pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.json"
METHODS = ("get", "post", "delete")


class Operation:
    def __init__(self, compiler, path, method, described):
        self.id, self.path, self.method = described["operationId"], path, method
        self.answers = {int(status): Answer(compiler, compiler.resolve(answer)) for status, answer in described["responses"].items()}
        self.takes = None
        if "application/json" in described.get("requestBody", {}).get("content", {}):
            self.takes = compiler.compile(described["requestBody"]["content"]["application/json"]["schema"])


class Answer:
    def __init__(self, compiler, described):
        self.bodies = {media: compiler.compile(content["schema"], closed=True) for media, content in described.get("content", {}).items()}
        self.headers = {}
        for name, header in described.get("headers", {}).items():
            header = compiler.resolve(header)
            self.headers[name] = header.get("required", False), compiler.compile(header["schema"])

    def check(self, response, has_body):
        for name, (required, check) in self.headers.items():
            values = response.headers.all(name)
            if required and len(values) != 1:
                raise Mismatch(f"{len(values)} headers {name}")
            for value in values:
                check(value)
        if not has_body:
            return
        media = response.headers.get("content-type", "").partition(";")[0]
        if not self.bodies:
            if response.body or media:
                raise Mismatch(f"a body of type {media!r}, where there is none")
        elif media not in self.bodies:
            raise Mismatch(f"a body of type {media!r}, where there is {list(self.bodies)}")
        elif media.endswith("json"):
            self.bodies[media](json.loads(response.body))


class Description:
    def __init__(self, text):
        self.document = json.loads(text)
        self.compiler = Compiler(self.document)
        self.operations = []
        self.patterns = []              # (pattern, {METHOD: operation})
        for path, item in self.document["paths"].items():
            pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
            rows = {method.upper(): Operation(self.compiler, path, method, item[method]) for method in METHODS if method in item}
            self.operations += rows.values()
            self.patterns.append((pattern, rows))
        schemas = self.document["components"]["schemas"]
        self.events = {kind["properties"]["event"]["const"]: self.compiler.compile(kind)
                       for kind in map(self.compiler.resolve, schemas["Event"]["oneOf"])}
        problems = self.document["components"]["responses"]
        self.problem = Answer(self.compiler, {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}})
        self.not_allowed = Answer(self.compiler, problems["405-method_not_allowed"])
        self.openai_error = Answer(self.compiler, problems["openai_error"])

    def find(self, method, path):
        """(the operation or None, whether the path exists)"""
        for pattern, rows in self.patterns:
            if pattern.fullmatch(path):
                return rows.get("GET" if method == "HEAD" else method), True
        return None, False


description = Description(FILE.read_text(encoding="utf-8"))
seen = collections.Counter()
_gateways = set()


def watch(address):
    """Checks all answers of this address from now on."""
    _gateways.add(address)


def forget(address):
    """Stops checking this address: another program may use it now."""
    _gateways.discard(address)


def is_watched(address):
    return address in _gateways


def check_response(asked, response):
    """asked: (method, target, body), or None if a test wrote raw bytes. The body of a stream is None."""
    if response.status < 200:
        return
    try:
        _check(asked, response)
    except Mismatch as mismatch:
        raise Mismatch(f"{asked[:2] if asked else 'a request'} -> {response.status}: {mismatch}\n{response.body[:2000]!r}") from None


def _check(asked, response):
    if not asked:
        if response.status >= 400:
            description.problem.check(response, has_body=response.body != b"")
        return
    method, target, body = asked
    path = target.partition("?")[0]
    if method == "OPTIONS" and response.status == 204:
        return
    operation, is_path = description.find(method, path)
    has_body = method != "HEAD"
    if path.startswith("/pages/") and response.status < 400:
        return                          # static files of the pages
    if operation:
        if response.status not in operation.answers:
            raise Mismatch(f"{operation.id} does not answer so: {sorted(operation.answers)}")
        operation.answers[response.status].check(response, has_body)
        seen[operation.id, response.status] += 1
        if operation.takes and response.status < 300:
            operation.takes(json.loads(body))
    elif (path + "/").startswith("/v1/") and response.status >= 400:
        description.openai_error.check(response, has_body)
    elif response.status == 405 and is_path:
        description.not_allowed.check(response, has_body)
    elif response.status < 400:
        raise Mismatch("there is no such operation")
    else:
        description.problem.check(response, has_body)


def check_frame(frame):
    """Checks one frame of a stream."""
    if frame.event is None:
        return
    check = description.events.get(frame.event)
    if not check:
        raise Mismatch(f"no such event: {frame.event}")
    if len(frame.data.splitlines()) != 1:
        raise Mismatch(f"its data is more than one line for a reader that uses splitlines(): {frame.data!r}")
    try:
        value = json.loads(frame.data)
        check(value)
        is_logged = frame.event != "reset" and value["data"].get("stage") != "queued"
        if bool(re.fullmatch(r"[0-9]{1,15}-[1-9][0-9]{0,14}", frame.id or "")) != is_logged:
            raise Mismatch(f"its id is {frame.id!r}")
    except Mismatch as mismatch:
        raise Mismatch(f"event {frame.event}: {mismatch}\n{frame.raw[:2000]!r}") from None
