"""A client of the gateway's HTTP API: responses as dictionaries, errors as Failure."""

import contextlib
import http.client
import json
import os
import ssl
import urllib.parse

from arkctl_lib.account import waiting_for
from arkctl_lib.failure import CONFLICT, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, USAGE, Failure
from arkctl_lib.terminal import clean

BASE = "/api/v1/faceflip"
ANSWER_MAX = 300 * 1024 * 1024      # a task with inline images
PAGE = 200
EXITS = {401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT, 429: CONFLICT}
EXITS_BY_CODE = {"queue_full": CONFLICT, "queue_paused": CONFLICT}
ADMIN_DISABLED = "the admin API of this gateway is disabled: it was started without GATEWAY_ADMIN_KEY"
NEEDS_ADMIN_KEY = "this needs the admin key: --admin-key, ARKRELAY_ADMIN_KEY, or GATEWAY_ADMIN_KEY in the environment or in ./.env"


class Gateway:
    def __init__(self, url, key="", admin_key="", timeout=10.0):
        self.url, self.key, self.admin_key, self.timeout = url.rstrip("/"), key, admin_key, timeout
        self._parts = urllib.parse.urlsplit(self.url)

    # -- endpoints

    def client(self, method, path, body=None):
        """A request to the client API, below /api/v1/faceflip."""
        return self.ask(method, BASE + path, body, self.key)[1]

    def admin(self, method, path, body=None):
        """A request to the admin API, below /admin."""
        self.need_admin_key()
        return self.ask(method, "/admin" + path, body, self.admin_key)[1]

    def need_admin_key(self):
        if not self.admin_key:
            raise Failure(NOT_ALLOWED, NEEDS_ADMIN_KEY)

    def queue(self):
        """The numbers of the queue, from the admin API if there is an admin key."""
        if not self.admin_key:
            return self.client("GET", "/queue")
        overview = self.admin("GET", "/overview")
        workers = sum(process.get("role") == "worker" and process.get("slots") != 0 for process in overview["processes"])   # 0: only the outbox
        return {**overview["queue"], "waiting_for": waiting_for(overview["governor"], overview["now_ms"]), "workers": workers}

    def processes(self):
        return self.admin("GET", "/processes")["processes"]

    def rows(self, state, search=""):
        """Yields the tasks in a state; requests them page by page."""
        return self._pages(self.admin, {"state": state, "q": search})

    def own_rows(self, state, search=""):
        """Yields the tasks of the key's client, newest first."""
        for row in self._pages(self.client, {"state": "failed" if state == "dead" else state}):
            if search in row["task_id"]:
                yield {"id": row["task_id"], **row}

    @staticmethod
    def _pages(ask, query):
        cursor = ""
        while cursor is not None:
            page = ask("GET", "/tasks?" + urllib.parse.urlencode({**query, "limit": PAGE, "cursor": cursor}))
            yield from page["tasks"]
            cursor = page["next"]

    def details(self, full_id):
        """All stored data of a task; None if there is no such task."""
        try:
            return self.admin("GET", f"/tasks/{full_id}")
        except Failure as failure:
            if failure.code == NOT_FOUND:
                return None
            raise

    def upload(self, path):
        """Uploads an image of this machine. Returns its id, for the urls of a request."""
        try:
            with open(path, "rb") as file:
                return self.ask("POST", f"{BASE}/uploads", file, self.key)[1]["id"]
        except OSError as error:
            raise Failure(USAGE, f"cannot read {clean(path)}: {error.strerror}") from None

    # -- requests

    def ask(self, method, path, body=None, key=""):
        """Sends one request. A body that is an open file is sent as it is. Returns (headers, document); the document is None if the response has no body."""
        headers = {"Accept": "application/json", **authorization(key)}
        text = None
        if hasattr(body, "read"):
            text, headers["Content-Type"] = body, "application/octet-stream"
            headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
        elif body is not None:
            text, headers["Content-Type"] = json.dumps(body), "application/json"
        connection = self.connect(self.timeout)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):        # it may refuse a body before it has read all of it
                connection.request(method, self.path(path), text, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise self.unreachable(error) from None
        finally:
            connection.close()
        if response.status >= 300:
            raise self.refusal(response, raw, path.startswith("/admin/"))
        return response.headers, self._document(response, raw)

    def connect(self, timeout):
        """Opens a connection."""
        secure = self._parts.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            self._parts.hostname, self._parts.port, timeout=timeout)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:        # UnicodeError: not a valid host name
            raise self.unreachable(error) from None
        return connection

    def path(self, path):
        return self._parts.path + path

    def link(self, link):
        """A link in an answer: absolute, or a path of this gateway."""
        return self.url + link if link.startswith("/") else link

    # -- errors

    def unreachable(self, error):
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {error.verify_message} (set SSL_CERT_FILE to trust another CA)"
        return Failure(UNREACHABLE, f"cannot reach the gateway at {self.url}: {reason}")

    def refusal(self, response, raw, is_admin=False):
        """The Failure for an error response."""
        try:
            problem = json.loads(raw)
            code, fields = problem["code"], problem.get("errors", [])
            detail = problem["title"] if fields else problem.get("detail") or problem["title"]      # with fields, the detail only repeats the first one
        except (ValueError, KeyError, TypeError):
            location = response.headers.get("Location")
            where = f"; it redirects to {location}, use that as --url" if location else ""
            return Failure(UNREACHABLE, f"{self.url} is not an arkrelay gateway: HTTP {response.status} {response.reason}{where}")
        if code == "not_found" and is_admin:
            return Failure(NOT_ALLOWED, ADMIN_DISABLED, problem)
        fields = "".join(f"; {error.get('pointer')}: {error.get('detail')}" for error in fields)
        exit_code = EXITS_BY_CODE.get(code) or EXITS.get(response.status) or (UNREACHABLE if response.status >= 500 else USAGE)
        return Failure(exit_code, f"{code}: {detail}{fields}", problem)

    def _document(self, response, raw):
        if response.status == 204 or not raw:
            return None
        try:
            return json.loads(raw)
        except ValueError:
            kind = response.headers.get_content_type()
            raise Failure(UNREACHABLE, f"{self.url} is not an arkrelay gateway: HTTP {response.status}, {kind}") from None


def authorization(key):
    return {"Authorization": f"Bearer {key}"} if key else {}
