"""Where programs under fault injection keep pictures: a directory, or a bucket. files() is what it has: id -> the bytes of the picture;
written_at(): id -> Unix time."""

import pathlib

RECORD = 192                # bytes at the end of a file, see common/storage/record.h


class Folder:
    fails = False           # it takes every picture

    def __init__(self, folder):
        self.path = pathlib.Path(folder, "pictures")

    def options(self):
        return {"STORAGE": self.path}

    def files(self):
        return {path.name: path.read_bytes()[:-RECORD] for path in self.path.glob("2*/*")}

    def written_at(self):
        return {path.name: path.stat().st_mtime for path in self.path.glob("2*/*")}

    def leftovers(self):
        return [path.name for path in (self.path / "tmp").iterdir()]


class InBucket:
    fails = True

    def __init__(self, bucket, folder):
        self.bucket, self.spool = bucket, pathlib.Path(folder, "spool")

    def options(self):
        return {**self.bucket.options(self.spool), "STORAGE_TIMEOUT": "4s"}

    def files(self):
        with self.bucket.store.lock:
            return {key.rpartition("/")[2]: body for key, (body, _) in self.bucket.store.objects.items()}

    def written_at(self):
        with self.bucket.store.lock:
            return {key.rpartition("/")[2]: at for key, at in self.bucket.store.written_at.items()}

    def leftovers(self):
        return [path.name for path in self.spool.iterdir()]
