#!/usr/bin/env python3
"""Network helpers of the container test: `free-ports COUNT` prints free ports, `get URL` prints the body of a 2xx response, `status URL` prints the
status without following a redirect."""

import http.client
import socket
import sys
import urllib.parse
import urllib.request


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    print(*(s.getsockname()[1] for s in sockets))


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as response:
            sys.stdout.buffer.write(response.read())
    except OSError as error:
        sys.exit(f"{url}: {error}")


def status(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request("GET", parts.path)
    print(connection.getresponse().status)


COMMANDS = {"free-ports": lambda count: free_ports(int(count)), "get": get, "status": status}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2])
