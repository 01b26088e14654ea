"""An upload, what must become of it, and the containers that it may come in."""

import bz2
import dataclasses
import gzip
import io
import pathlib
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import zstandard

Files = dict[str, bytes]
Example = dict[str, Any]


@dataclasses.dataclass
class Upload:
    """Files, and what TFDS must read of them once they are converted."""

    files: Files
    want: dict[Any, Any]  # what each example must hold, by its key
    key: Callable[[Example], Any]
    same: Callable[[Example, Any], None]  # asserts that an example, as TFDS decodes it, holds it
    classes: tuple[str, list[str]] | None = None  # a feature and the names it must have
    left_out: set[tuple[str, int, str]] = dataclasses.field(default_factory=set)
    rows: int = 0  # that the files hold, good and bad
    annotations: int = 0
    container: str = "zip"
    packed: bytes | None = None  # the files in a container that a tool wrote
    name: str = "upload"  # of a bare file, which has no other
    splits: tuple[str, ...] = ("test", "train", "validation")
    flags: tuple[str, ...] = ("--max-bad-fraction=0.5",)


def tree(folder: pathlib.Path, below: str = "") -> Files:
    """Returns the files that a tool wrote into a folder."""
    return {
        below + p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def pack_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


def pack_tar(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def bare(files: Files) -> bytes:
    (data,) = files.values()
    return data


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


CONTAINERS: dict[str, Callable[[Files], bytes]] = {
    "zip": pack_zip,
    "stored zip": lambda files: pack_zip(files, zipfile.ZIP_STORED),
    "tar": pack_tar,
    "tar.gz": lambda files: gzip.compress(pack_tar(files)),
    "tar.zst": lambda files: zstd(pack_tar(files)),
    "tar.bz2": lambda files: bz2.compress(pack_tar(files)),
    "bare": bare,
    "bare gz": lambda files: gzip.compress(bare(files)),
    "bare zst": lambda files: zstd(bare(files)),
    "bare bz2": lambda files: bz2.compress(bare(files)),
}


def convert(
    converter: pathlib.Path, data: bytes, tmp: pathlib.Path, name: str, *flags: str
) -> pathlib.Path:
    """Returns the folder that an upload is converted to."""
    source, out = tmp / name, tmp / "converted"
    source.write_bytes(data)
    command = [converter, source, out, "--dataset", "matrix", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out
