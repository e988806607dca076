"""A small server of S3's language, which checks every signature by itself.

The check follows "Authenticating Requests (AWS Signature Version 4)" of Amazon's documentation and shares no code with the programs. Objects are
kept in memory. Prints its port, then obeys lines on stdin and answers each with one line:

    fail STATUS CODE      the next request is answered with this error; a 2xx status makes it an error that looks like success
    page STATUS           the next request is answered with a page of HTML, as a proxy or a login page does
    cut BYTES             the next GET ends its connection after so many bytes of the body
    lose                  the next request is executed, and its connection closed without an answer
    reset                 the next request's connection is closed in the middle of its body, without an answer
    keys                  prints the stored keys, separated by spaces
    seed KEY              stores an object without a picture
    count                 prints the number of requests so far
"""

import datetime
import hashlib
import hmac
import http.server
import io
import sys
import threading
import time
import urllib.parse

ACCESS, SECRET, REGION, BUCKET = "AKIDTEST", "secret/with+signs", "eu-test-1", "pictures"
EMPTY = hashlib.sha256(b"").hexdigest()


def encode(text, safe=""):
    return urllib.parse.quote(text, safe="-._~" + safe)


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(date, canonical):
    scope = f"{date[:8]}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = sign(sign(sign(sign(b"AWS4" + SECRET.encode(), date[:8]), REGION), "s3"), "aws4_request")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), scope


class Refused(Exception):
    """(status, code)"""


class Store:
    def __init__(self):
        self.written_at = {}                # key -> Unix time
        self.objects, self.faults, self.count, self.lock = {}, [], 0, threading.Lock()
        self.stall = threading.Event()      # while it is clear, requests wait
        self.stall.set()
        self.is_away = False                # connections are closed without an answer


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = Store()

    def log_message(self, *_):
        pass

    # -- signatures

    def canonical(self, query, names, payload):
        path = urllib.parse.unquote(self.raw_path)
        headers = "".join(f"{name}:{' '.join(self.headers.get(name, '').split())}\n" for name in names)
        pairs = "&".join(f"{name}={value}" for name, value in sorted((encode(name), encode(value)) for name, value in query))
        return "\n".join([self.command, encode(path, "/"), pairs, headers, ";".join(names), payload])

    def check_header(self, query):
        scheme, _, rest = self.headers["Authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        names = parts["SignedHeaders"].split(";")
        date, payload = self.headers["X-Amz-Date"], self.headers["X-Amz-Content-Sha256"]
        expected, scope = signature(date, self.canonical(query, names, payload))
        when = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if scheme != "AWS4-HMAC-SHA256" or names != sorted(names) or parts["Credential"] != f"{ACCESS}/{scope}":
            raise Refused(403, "InvalidAccessKeyId")
        unsigned = [name for name in self.headers if name.lower().startswith("x-amz-") and name.lower() not in names]
        if parts["Signature"] != expected or unsigned or "host" not in names:
            raise Refused(403, "SignatureDoesNotMatch")
        if abs(time.time() - when) > 900:
            raise Refused(403, "RequestTimeTooSkewed")
        return payload

    def check_link(self, query):
        values = dict(query)
        date, names = values["X-Amz-Date"], values["X-Amz-SignedHeaders"].split(";")
        rest = [(name, value) for name, value in query if name != "X-Amz-Signature"]
        expected, scope = signature(date, self.canonical(rest, names, "UNSIGNED-PAYLOAD"))
        if values["X-Amz-Signature"] != expected or values["X-Amz-Credential"] != f"{ACCESS}/{scope}":
            raise Refused(403, "SignatureDoesNotMatch")
        when = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if time.time() > when + int(values["X-Amz-Expires"]):
            raise Refused(403, "AccessDenied")

    # -- requests

    def key(self):
        path = urllib.parse.unquote(self.raw_path)
        host = self.headers["Host"].split(":")[0]
        if not host.startswith(BUCKET + "."):
            _, bucket, path = (path + "/").split("/", 2)
            if bucket != BUCKET:
                raise Refused(404, "NoSuchBucket")
            path = "/" + path[:-1] if path.endswith("/") else "/" + path
        return path[1:]

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def take_fault(self, kinds):
        with self.store.lock:
            fault = self.store.faults[0] if self.store.faults else None
            if fault and fault[0] in kinds and self.command in (fault[3:] or [self.command]):      # a fault may be of one method only
                return self.store.faults.pop(0)
        return None

    def handle_request(self):
        self.raw_path, _, raw_query = self.path.partition("?")
        query = urllib.parse.parse_qsl(raw_query, keep_blank_values=True)
        with self.store.lock:
            self.store.count += 1
        self.store.stall.wait(20)
        if self.store.is_away:
            self.close_connection = True
            return
        if self.take_fault(["reset"]):
            self.rfile.read(min(1000, int(self.headers.get("Content-Length", 0))))
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            fault = self.take_fault(["fail"])
            if fault:
                raise Refused(int(fault[1]), fault[2])
            page = self.take_fault(["page"])
            if page:
                self.answer(int(page[1]), b"<html><body>Welcome</body></html>", [("Content-Type", "text/html"), ("ETag", '"page"')])
                return
            if "Authorization" in self.headers:
                payload = self.check_header(query)
                if payload != hashlib.sha256(body).hexdigest():
                    raise Refused(400, "XAmzContentSHA256Mismatch")
            elif any(name == "X-Amz-Signature" for name, _ in query):
                self.check_link(query)
            else:
                raise Refused(403, "AccessDenied")
            if self.command == "PUT" and ("Content-Length" not in self.headers or "Transfer-Encoding" in self.headers):
                raise Refused(411, "MissingContentLength")
            if self.take_fault(["lose"]):
                self.wfile = io.BytesIO()
                self.close_connection = True
            getattr(self, "handle_" + self.command)(self.key(), dict(query), body)
        except Refused as refused:
            status, code = refused.args
            self.answer(status, f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'.encode(),
                        [("Content-Type", "application/xml")])

    do_GET = do_PUT = do_DELETE = do_HEAD = handle_request

    def handle_PUT(self, key, _query, body):
        kept = [(name, value) for name, value in self.headers.items() if name.lower() == "content-type" or name.lower().startswith("x-amz-meta-")]
        self.store.objects[key] = (body, kept)
        self.store.written_at[key] = time.time()
        self.answer(200, headers=[("ETag", f'"{hashlib.md5(body).hexdigest()}"')])

    def handle_DELETE(self, key, _query, _body):
        self.store.objects.pop(key, None)
        self.answer(204)

    def handle_GET(self, key, query, _body):
        if key == "":
            return self.list(query)
        if key not in self.store.objects:
            raise Refused(404, "NoSuchKey")
        body, headers = self.store.objects[key]
        headers = list(headers)
        if "response-content-disposition" in query:
            headers.append(("Content-Disposition", query["response-content-disposition"]))
        wanted = self.headers.get("Range")
        cut = self.take_fault(["cut"])
        if cut:
            self.send_response(200)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:int(cut[1])])
            self.close_connection = True
        elif wanted:
            first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
            self.answer(206, body[first:last + 1], headers + [("Content-Range", f"bytes {first}-{last}/{len(body)}")])
        else:
            self.answer(200, body, headers)

    def list(self, query):
        most = int(query.get("max-keys", 1000))
        keys = sorted(key for key in self.store.objects if key.startswith(query.get("prefix", "")) and key > query.get("start-after", ""))
        items = "".join(f"<Contents><Key>{key}</Key><Size>{len(self.store.objects[key][0])}</Size></Contents>" for key in keys[:most])
        more = "true" if len(keys) > most else "false"
        self.answer(200, f'<?xml version="1.0"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{items}</ListBucketResult>'.encode(),
                    [("Content-Type", "application/xml")])


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        if not isinstance(sys.exc_info()[1], OSError):      # clients that go away are part of the tests
            super().handle_error(*_)


def obey(store, words):
    with store.lock:
        if words[0] in ("fail", "page", "cut", "lose", "reset"):
            store.faults.append(words)
        elif words[0] == "seed":
            store.objects[words[1]] = (b"", [])
        elif words[0] == "keys":
            return " ".join(sorted(store.objects))
        elif words[0] == "count":
            return str(store.count)
        return "ok"


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        print(obey(Handler.store, line.split()), flush=True)


if __name__ == "__main__":
    main()
