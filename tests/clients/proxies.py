"""nginx, HAProxy and Caddy in front of the recorder, with default settings and with keep-alive connections.

A plain client sends requests to the proxy. The recorder keeps the bytes that the proxy forwards.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time

from support import recordings
from support.http_client import Connection, EventStream
from support.nginx import is_listening
from support.processes import Program, eventually
from support.redis_server import free_port

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    upstream gateway {{ server {upstream}; keepalive 4; }}
    server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}
}}
"""
NGINX_LOCATIONS = {
    "nginx": "proxy_pass http://{upstream};",
    "nginx-keepalive": 'proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;',
    "nginx-unbuffered": 'proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; '
                        "proxy_request_buffering off; proxy_buffering off; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
}
HAPROXY = """
defaults
    mode http
    timeout connect 10s
    timeout client 10s
    timeout server 10s
    {more}
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{port2} proto h2
    default_backend back
backend back
    server gateway {upstream}
"""
HAPROXY_MORE = {"haproxy": "", "haproxy-close": "option httpclose\n    option forwardfor"}
CADDY = """
{{
    admin off
    auto_https off
    servers {{
        protocols h1 h2 h2c
    }}
}}
http://:{port} {{
    reverse_proxy {upstream} {{
        flush_interval -1
    }}
}}
"""

PAUSE_S = 0.2
KINDS = ("nginx", "nginx-keepalive", "nginx-unbuffered", "haproxy", "haproxy-close", "caddy")
CLOSING = ("nginx", "haproxy-close")            # these open a new connection for each request
OVER_HTTP2 = {"haproxy": "port2", "caddy": "port"}


@contextlib.contextmanager
def proxy(kind, upstream):
    """Starts a proxy; returns its ports: {"port", "port2"}."""
    with tempfile.TemporaryDirectory(prefix="arkrelay-recorder-") as folder:
        ports = {"port": free_port(), "port2": free_port()}
        name, text, argv = {
            "nginx": ("nginx.conf", NGINX, ("nginx", "-e", "stderr", "-p", folder, "-c", f"{folder}/nginx.conf")),
            "haproxy": ("haproxy.cfg", HAPROXY, ("haproxy", "-q", "-f", f"{folder}/haproxy.cfg")),
            "caddy": ("Caddyfile", CADDY, ("caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile")),
        }[kind.partition("-")[0]]
        more = {"location": NGINX_LOCATIONS.get(kind, "").format(upstream=upstream), "more": HAPROXY_MORE.get(kind, "")}
        pathlib.Path(folder, name).write_text(text.format(folder=folder, upstream=upstream, **ports, **more), encoding="utf-8")
        program = Program(kind, list(argv), {"HOME": folder})
        try:
            eventually(lambda: is_listening(f"127.0.0.1:{ports['port']}"), f"{kind} listens")
            yield ports
        finally:
            program.kill()
            program.forget()


def version(kind):
    said = subprocess.run(["/usr/sbin/nginx", "-v"] if kind.startswith("nginx") else [kind.partition("-")[0], "version" if kind == "caddy" else "-v"],
                          capture_output=True, text=True, check=True)
    text = said.stdout + said.stderr
    return text.split("/")[1].strip() if kind.startswith("nginx") else text.split()[2 if kind.startswith("haproxy") else 0]


# -- the client in front of them

def body(task):
    return json.dumps(recordings.expected_body(task), ensure_ascii=False).encode()


def post(address, task):
    with EventStream(address, "POST", "/api/v1/faceflip/generate/stream", body(task)) as stream:
        stream.until("done")


def chunked(address, task):
    """Sends the body in two parts: a proxy that does not buffer forwards the first chunk separately."""
    text = body(task)
    head = f"POST /api/v1/faceflip/generate/stream HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n" \
           "Transfer-Encoding: chunked\r\n\r\n"
    first, second = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (text[:20], text[20:]))
    with Connection(address) as connection:
        connection.send(head.encode() + first)
        time.sleep(PAUSE_S)
        connection.send(second + b"0\r\n\r\n")
        connection.response()


def resume(address, task):
    with EventStream(address, "GET", f"/api/v1/faceflip/tasks/{task}/stream", headers={"Last-Event-ID": "1700000000000-2"}) as stream:
        stream.until("done")


def twice(address, _task):
    with Connection(address) as connection:
        for _ in range(2):
            connection.request("GET", "/api/v1/faceflip/queue")
            connection.response()


def http2_chunked(address, task):
    """HTTP/2 has bodies without a length but no chunks."""
    subprocess.run(["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-X", "POST", "-T", "-", "-H", "Content-Type: application/json",
                    f"http://{address}/api/v1/faceflip/generate/stream"], input=body(task), env={"HOME": os.devnull, "PATH": os.environ["PATH"]},
                   stdout=subprocess.DEVNULL, check=True)


def cases(kind):
    """(name, port, function) of each recording with this proxy."""
    found = [(f"{kind}-{function.__name__}", "port", function) for function in (post, chunked, resume)]
    if kind not in CLOSING:
        found.append((f"{kind}-twice", "port", twice))
    if kind in OVER_HTTP2:
        found.append((f"{kind}-http2-chunked", OVER_HTTP2[kind], http2_chunked))
    return found
