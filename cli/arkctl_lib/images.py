"""Downloads images and saves them as files."""

import base64
import binascii
import os
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request

from arkctl_lib.failure import FAILED, Failure

IMAGE_MAX = 256 * 1024 * 1024
TRIES = 3
LEAST_TIMEOUT_S = 30        # an image is larger than other answers
NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._:-]")
SUFFIXES = {"image/jpeg": ".jpeg", "image/png": ".png", "image/webp": ".webp", "image/gif": ".gif"}
MAGIC = ((b"\xff\xd8\xff", ".jpeg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"GIF8", ".gif"))


def prepare(folder):
    """Creates the directory. Called before the task is submitted, so that a directory that is not writable costs nothing."""
    path = pathlib.Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(FAILED, f"cannot create the directory {folder}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise Failure(FAILED, f"cannot write to the directory {folder}")
    return path


def addresses(gateway, image):
    """Where an image of a task can be read: in the storage, if it is kept, and at ARK."""
    stored = [gateway.link(image["stored_url"])] if image.get("stored_url") else []
    return [*stored, image["url"]]


def save(gateway, folder, task_id, number, image, may_replace):
    """Downloads an image of a task, saves it as <folder>/<task_id>-<number>.<suffix> and returns the path."""
    for url in addresses(gateway, image):
        try:
            data, suffix = download(url, max(gateway.timeout, LEAST_TIMEOUT_S))
            break
        except Failure as failure:
            last = failure
    else:
        raise last
    return write(stem(folder, task_id, number), data, suffix, may_replace)


def existing(folder, task_id, number):
    """The file that save() has made for this image before, or None."""
    path = stem(folder, task_id, number)
    return next((named for suffix in (*SUFFIXES.values(), ".bin") if os.path.lexists(named := path.with_name(path.name + suffix))), None)


def stem(folder, task_id, number):
    """The path of an image's file, without its suffix."""
    return folder / f"{NOT_IN_IDS.sub('_', task_id)}-{number}"


def download(url, timeout):
    """Returns the bytes of an image and the suffix for its type."""
    data, kind = _decode(url) if url.startswith("data:") else _fetch(url, timeout)
    return data, next((suffix for magic, suffix in MAGIC if data.startswith(magic)), SUFFIXES.get(kind, ".bin"))


def write(beginning, data, suffix, may_replace):
    """Writes <beginning><suffix>, of stem() and download(), and returns the path."""
    path = beginning.with_name(beginning.name + suffix)
    half = path.with_name(path.name + ".part")
    try:
        half.write_bytes(data)
        if may_replace:
            half.replace(path)
        else:
            _publish(half, path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise Failure(FAILED, f"cannot write {path}: {error.strerror}") from None
    return path


def _publish(half, path):
    """Gives the file its name, unless a file with that name has appeared meanwhile."""
    with path.open("xb"):
        pass
    half.replace(path)


def _decode(url):
    head, _, text = url.partition(",")
    try:
        return base64.b64decode(text, validate=True), head.removeprefix("data:").partition(";")[0]
    except binascii.Error:
        raise Failure(FAILED, "an image has an invalid data: URL") from None


def _fetch(url, timeout):
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise Failure(FAILED, "the URL of an image is neither http nor https")
    for last_try in (*[False] * (TRIES - 1), True):
        try:
            with urllib.request.urlopen(url, timeout=timeout) as response:
                data = response.read(IMAGE_MAX + 1)
                length = response.headers.get("Content-Length")
                if len(data) > IMAGE_MAX or length and len(data) < int(length):
                    raise OSError("the image is too large or incomplete")
                return data, response.headers.get_content_type()
        except urllib.error.HTTPError as error:
            if error.code < 500 or last_try:
                raise Failure(FAILED, f"cannot download an image: HTTP {error.code} from {url[:100]}") from None
        except (OSError, ValueError) as error:
            if last_try:
                raise Failure(FAILED, f"cannot download an image: {getattr(error, 'reason', None) or error} ({url[:100]})") from None
