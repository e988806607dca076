"""Runs inside a network namespace, for test_webhooks: a name server, and receivers at a public and at a private address.

    ip netns exec NAME python3 inner_net.py PUBLIC PRIVATE

It prints "ready", and a line for each query and each connection: "asked NAME", "connected ADDRESS". Each line on stdin sets a name's addresses: NAME ADDRESS...
"""

import socket
import struct
import sys
import threading

PORT = 8080
addresses = {}


def say(*words):
    print(*words, flush=True)


def answer(query):
    """To A with what is set for the name, to all else with nothing."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
    found = addresses.get(name, []) if kind == 1 else []
    if kind == 1:
        say("asked", name)
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
    return head + query[12:at + 5] + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(each) for each in found)


def serve_names(listener):
    while True:
        query, client = listener.recvfrom(1500)
        listener.sendto(answer(query), client)


def serve_http(listener, address):
    while True:
        connection, _ = listener.accept()
        with connection:
            say("connected", address)
            connection.settimeout(2)
            data = b""
            while b"}}" not in data:
                data += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 204 Any\r\n\r\n")


def main():
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=serve_names, args=(names,), daemon=True).start()
    for address in sys.argv[1:]:
        threading.Thread(target=serve_http, args=(socket.create_server((address, PORT)), address), daemon=True).start()
    say("ready")
    for line in sys.stdin:
        name, *found = line.split()
        addresses[name] = found
        say("set", name)


if __name__ == "__main__":
    main()
