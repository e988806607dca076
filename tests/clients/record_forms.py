#!/usr/bin/env python3
"""Records the multipart forms that real clients send to /v1/images/edits, byte for byte, into tests/data/forms.

    tests/clients/record_forms.py                   all forms
    tests/clients/record_forms.py curl openai       only names with these prefixes

Needs the packages of `scripts/install_deps.sh clients test`, and the npm registry. See README.md in this folder.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from browser.driver import Browser                              # noqa: E402
from clients.record import WORK, Failed, prepare, run, say      # noqa: E402
from clients.recorder import Recorder                           # noqa: E402
from support import recordings                                  # noqa: E402

FOLDER = recordings.FOLDER.parent / "forms"
PROMPT = '换脸: "a" & b\r\n--x'
# A picture as far as a form can tell, with everything that looks like a delimiter.
PICTURE = b"\x89PNG\r\n\x1a\n\0\xff\r\n--\r\n------\r\r\n\n--x\r\n" + bytes(range(256)) + b"\r\n-"
NODE, PYTHON = ("node", "forms.mjs"), ("/usr/bin/python3", "forms.py")
CURL = ("curl", "-sS", "--noproxy", "", "{base}/v1/images/edits", "-F")
FETCH = """
const picture = new Uint8Array(arguments[0]);
const form = new FormData();
form.append('image[]', new Blob([picture], { type: 'image/png' }), 'a.png');
form.append('prompt', arguments[1]);
form.append('image[]', new File([picture], '图 "b".png', { type: 'image/png' }));
form.append('n', '2');
return (await fetch('/v1/images/edits', { method: 'POST', body: form })).status;
"""

# name: client, program, parts in their order: name@ is a file with the picture, name~ a text with the prompt
CASES = {
    "curl": ("curl {curl}", (*CURL, "image[]=@picture.png", "-F", "image[]=@picture.png;filename=图 \"b\".png;type=image/png", "-F",
                             "prompt=<prompt.txt", "-F", "n=2"), "image[]@ image[]@ prompt~ n=2"),
    "curl-escape": ("curl {curl}", (*CURL, "image=@picture.png;filename=a\"b.png", "--form-escape", "-F", "prompt=<prompt.txt"),
                    "image@ prompt~"),
    "curl-chunked": ("curl {curl}", (*CURL, "image=@picture.png", "-H", "Transfer-Encoding: chunked", "-F", "prompt=<prompt.txt"),
                     "image@ prompt~"),
    "openai-node-edit": ("openai (Node) {openai}", (*NODE, "openai-node-edit", "{base}"),
                         "model=gpt-image-1 prompt~ n=2 size=1024x1024 image[]@ image[]@"),
    "openai-node-one": ("openai (Node) {openai}", (*NODE, "openai-node-one", "{base}"), "image@ mask@ prompt~"),
    "node-fetch": ("Node.js {node} fetch", (*NODE, "fetch", "{base}"), "prompt~ image[]@ n=2 image[]@"),
    "axios": ("axios {axios}", (*NODE, "axios", "{base}"), "prompt~ image[]@ n=2 image[]@"),
    "httpx": ("httpx {httpx}", (*PYTHON, "httpx", "{base}"), "model=gpt-image-1 prompt~ n=2 image[]@ image[]@"),
    "requests": ("requests {requests}", (*PYTHON, "requests", "{base}"), "model=gpt-image-1 prompt~ n=2 image[]@ image[]@"),
    "aiohttp": ("aiohttp {aiohttp}", (*PYTHON, "aiohttp", "{base}"), "image[]@ image[]@ model=gpt-image-1 prompt~ n=2"),
    "chromium": ("Chromium {chromium}", None, "image[]@ prompt~ image[]@ n=2"),
}
# Not run here: what the sources of these clients write.
WRITTEN = {
    "dotnet": ("reconstructed: dotnet/runtime MultipartFormDataContent", 'multipart/form-data; boundary="5ad3a1cf-3c5b-4e3e-9d3b-8d1c2f0d2a11"',
               [("Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=prompt", PROMPT.encode()),
                ("Content-Type: image/png\r\nContent-Disposition: form-data; name=image; filename=a.png; filename*=utf-8''a.png", PICTURE)],
               "prompt~ image@"),
    "java-httpclient": ("reconstructed: Apache HttpClient 4 MultipartEntityBuilder", "multipart/form-data; boundary=a8Jq2_Xk-p0ZbT5sVw",
                        [('Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: application/octet-stream\r\n'
                          "Content-Transfer-Encoding: binary", PICTURE),
                         ('Content-Disposition: form-data; name="prompt"\r\nContent-Type: text/plain; charset=UTF-8\r\n'
                          "Content-Transfer-Encoding: 8bit", PROMPT.encode())], "image@ prompt~"),
    "okhttp": ("reconstructed: square/okhttp MultipartBody", "multipart/form-data; boundary=0c1f9f5e-1b8e-4d0f-8c58-5fd1f8f7a6f0",
               [('Content-Disposition: form-data; name="prompt"\r\nContent-Length: 24', PROMPT.encode()),
                ('Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\nContent-Length: 290', PICTURE)],
               "prompt~ image@"),
    "go": ("reconstructed: golang/go mime/multipart", "multipart/form-data; boundary=9f3a7d1f5c0b4e6a8d2c1b0f9e8d7c6b5a493827161504f3e2d1c0b9a8f7",
           [('Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: application/octet-stream', PICTURE),
            ('Content-Disposition: form-data; name="prompt"', PROMPT.encode())], "image@ prompt~"),
    "urllib3-old": ("reconstructed: urllib3 1.24 RequestField", "multipart/form-data; boundary=d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f",
                    [('Content-Disposition: form-data; name="prompt"', PROMPT.encode()),
                     ("Content-Disposition: form-data; name=\"image\"; filename*=utf-8''%E5%9B%BE.png\r\nContent-Type: image/png", PICTURE)],
                    "prompt~ image@"),
}


def written(content_type, parts, authority):
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    body = b"".join(b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head.encode(), content) for head, content in parts) + b"--%b--\r\n" % boundary
    return (f"POST /v1/images/edits HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body


def browse(recorder):
    with Browser() as browser:
        page = browser.open(recorder.base + "/")
        status = page.run_async(FETCH, list(PICTURE), PROMPT)
        if status != 200:
            raise Failed(f"chromium: {status}")
        return page.run("return navigator.userAgent").partition("Chrome/")[2].partition(".")[0]


def recorded(recorder, name, argv, known):
    recorder.forget()
    if argv is None:
        known["chromium"] = browse(recorder)
    else:
        status, _, problem = run([word.replace("{base}", recorder.base) for word in argv])
        if status:
            raise Failed(f"{name}: {problem}")
    posts = [request.raw for raw in recorder.connections() for request in recordings.split(raw) if request.method == "POST"]
    if len(posts) != 1:
        raise Failed(f"{name}: {len(posts)} requests")
    return posts[0]


def known_versions():
    known = {"curl": run(("curl", "--version"))[1].split()[1]}
    for words in (NODE, PYTHON):
        status, said, problem = run((*words, "versions"))
        if status:
            raise Failed(problem)
        known |= json.loads(said)
    return known


def main():
    wanted = tuple(sys.argv[1:])
    FOLDER.mkdir(exist_ok=True)
    prepare()
    (WORK / "picture.png").write_bytes(PICTURE)
    (WORK / "prompt.txt").write_bytes(PROMPT.encode())
    (FOLDER / "picture.bin").write_bytes(PICTURE)
    known = known_versions()
    index = FOLDER / "index.tsv"
    rows = dict(line.split("\t", 1) for line in index.read_text(encoding="utf-8").splitlines()[1:]) if index.exists() else {}
    with Recorder(0) as recorder:
        for name, (client, argv, parts) in CASES.items():
            if not wanted or name.startswith(wanted):
                (FOLDER / f"{name}.http").write_bytes(recorded(recorder, name, argv, known))
                rows[name] = f"{client.format(**known)}\t{parts}"
        for name, (source, content_type, made, parts) in WRITTEN.items():
            (FOLDER / f"{name}.http").write_bytes(written(content_type, made, "127.0.0.1:8000"))
            rows[name] = f"{source}\t{parts}"
    index.write_text("name\tclient\tparts\n" + "".join(f"{name}\t{rows[name]}\n" for name in sorted(rows)), encoding="utf-8")
    say(f"record_forms: {len(rows)} forms in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
