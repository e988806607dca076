"""Runs a private nginx.

    with Nginx(servers) as nginx:               # servers: the content of http { }; {port} and {folder} are replaced
        fetch(nginx.address, "GET", "/livez")
"""

import os
import pathlib
import shutil
import tempfile

from support.http_client import Connection
from support.processes import Program, eventually
from support.redis_server import free_port

MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{ }}
http {{
    access_log off; default_type application/octet-stream;
    types {{ text/html html; text/javascript js; text/plain vue; }}
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {servers}
}}
"""


def is_listening(address):
    try:
        Connection(address).close()
        return True
    except OSError:
        return False


class Nginx:
    def __init__(self, servers):
        self._folder = tempfile.mkdtemp(prefix="arkrelay-nginx-")
        self.folder = pathlib.Path(self._folder)
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        servers = servers.replace("{port}", str(port)).replace("{folder}", self._folder)
        config = self.folder / "nginx.conf"
        config.write_text(MAIN.format(folder=self._folder, servers=servers), encoding="utf-8")
        self.program = Program("nginx", ["nginx", "-e", "stderr", "-p", self._folder, "-c", os.fspath(config)])
        eventually(lambda: is_listening(self.address), "nginx listens")

    def close(self):
        if self.program.is_running():
            self.program.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
