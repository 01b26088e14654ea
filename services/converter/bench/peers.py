"""Measures convert-local against other programs that turn the same zip of images into shards.

    python peers.py CONVERT_LOCAL    # runs all; `make bench-peers` does

Every peer does the least that its own examples do: it reads one image after another with zipfile
and writes it with its path and label. convert-local finds the format, checks all images, shuffles,
draws splits and hashes its shards besides. A peer runs in a process of its own, and its clock
starts behind its imports; convert-local's covers its whole process. All outputs are read back and
compared with the zip first. The figures are medians of pairs. TMPDIR says where the files lie, and
BENCH_MB makes the zip smaller.
"""

import contextlib
import importlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

PAIRS = 3
CLASSES = 100
SHARD_BYTES = 128 << 20  # convert-local's

Image = tuple[str, int, bytes]  # its path, label and data


def images(source: Path) -> Iterator[Image]:
    """The images of a zip whose folders are classes."""
    with zipfile.ZipFile(source) as archive:
        labels = {
            c: i for i, c in enumerate(sorted({n.split("/")[-2] for n in archive.namelist()}))
        }
        for name in archive.namelist():
            yield name, labels[name.split("/")[-2]], archive.read(name)


def in_shards(source: Path) -> Iterator[tuple[int, Image]]:
    """The images, each with the number of the shard it belongs to."""
    size = 0
    for image in images(source):
        yield size // SHARD_BYTES, image
        size += len(image[2])


class TensorFlow:
    """The loop of TensorFlow's guide to TFRecord."""

    goal = 3.0
    reader = "tensorflow_loop"

    def __init__(self) -> None:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        self.tf = importlib.import_module("tensorflow")

    def write(self, source: Path, out: Path) -> None:
        tf = self.tf

        def of_bytes(value: bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

        writers = {}
        for shard, (name, label, data) in in_shards(source):
            if shard not in writers:
                writers[shard] = tf.io.TFRecordWriter(str(out / f"{shard:05}.tfrecord"))
            feature = {
                "image": of_bytes(data),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                "filename": of_bytes(name.encode()),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writers[shard].write(example.SerializeToString())
        for writer in writers.values():
            writer.close()

    def read(self, out: Path) -> Iterator[Image]:
        for shard in sorted(out.glob("*.tfrecord*")):
            for record in self.tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
                feature = self.tf.train.Example.FromString(record).features.feature
                yield (
                    feature["filename"].bytes_list.value[0].decode(),
                    feature["label"].int64_list.value[0],
                    feature["image"].bytes_list.value[0],
                )


class TFRecord:
    """The tfrecord package of PyPI. It can't be imported beside TensorFlow, which reads it back."""

    goal = 4.0
    reader = "tensorflow_loop"

    def __init__(self) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            self.tfrecord = importlib.import_module("tfrecord")

    def write(self, source: Path, out: Path) -> None:
        writers = {}
        for shard, (name, label, data) in in_shards(source):
            if shard not in writers:
                writers[shard] = self.tfrecord.TFRecordWriter(str(out / f"{shard:05}.tfrecord"))
            writers[shard].write(
                {
                    "image": (data, "byte"),
                    "label": (label, "int"),
                    "filename": (name.encode(), "byte"),
                }
            )
        for writer in writers.values():
            writer.close()


class WebDataset:
    """webdataset.ShardWriter: tar files, another format for the same job."""

    goal = 0.0
    reader = "webdataset"

    def __init__(self) -> None:
        self.webdataset = importlib.import_module("webdataset")

    def write(self, source: Path, out: Path) -> None:
        pattern = str(out / "%05d.tar")
        with self.webdataset.ShardWriter(pattern, maxsize=SHARD_BYTES, verbose=0) as writer:
            for name, label, data in images(source):
                writer.write({"__key__": name.removesuffix(".jpg"), "jpg": data, "cls": label})

    def read(self, out: Path) -> Iterator[Image]:
        for shard in sorted(out.glob("*.tar")):
            with tarfile.open(shard) as tar:
                files = {m.name: tar.extractfile(m).read() for m in tar}
            for name in (n for n in files if n.endswith(".jpg")):
                yield name, int(files[name.removesuffix("jpg") + "cls"]), files[name]


class Mosaic:
    """mosaicml-streaming's MDSWriter, another format. PyTorch has its own environment."""

    goal = 0.0
    reader = "mosaic"
    python = ".venv-bench-mosaic/bin/python"

    def __init__(self) -> None:
        self.streaming = importlib.import_module("streaming")

    def write(self, source: Path, out: Path) -> None:
        columns = {"image": "bytes", "label": "int", "filename": "str"}
        with self.streaming.MDSWriter(out=str(out), columns=columns, size_limit=SHARD_BYTES) as w:
            for name, label, data in images(source):
                w.write({"image": data, "label": label, "filename": name})

    def read(self, out: Path) -> Iterator[Image]:
        for example in self.streaming.LocalDataset(str(out)):
            yield example["filename"], example["label"], example["image"]


class ArrayRecord:
    """array_record, with examples of TensorFlow in it, as TFDS does."""

    goal = 0.0
    reader = "array_record"

    def __init__(self) -> None:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        self.array_record = importlib.import_module("array_record.python.array_record_module")
        self.train = importlib.import_module("tensorflow").train

    def write(self, source: Path, out: Path) -> None:
        train = self.train

        def of_bytes(value: bytes):
            return train.Feature(bytes_list=train.BytesList(value=[value]))

        writers = {}
        for shard, (name, label, data) in in_shards(source):
            if shard not in writers:
                # What TFDS asks for, and no compression, because images don't shrink.
                writers[shard] = self.array_record.ArrayRecordWriter(
                    str(out / f"{shard:05}.array_record"), "group_size:1,uncompressed"
                )
            feature = {
                "image": of_bytes(data),
                "label": train.Feature(int64_list=train.Int64List(value=[label])),
                "filename": of_bytes(name.encode()),
            }
            example = train.Example(features=train.Features(feature=feature))
            writers[shard].write(example.SerializeToString())
        for writer in writers.values():
            writer.close()

    def read(self, out: Path) -> Iterator[Image]:
        for shard in sorted(out.glob("*.array_record")):
            reader = self.array_record.ArrayRecordReader(str(shard))
            for _ in range(reader.num_records()):
                feature = self.train.Example.FromString(reader.read()).features.feature
                yield (
                    feature["filename"].bytes_list.value[0].decode(),
                    feature["label"].int64_list.value[0],
                    feature["image"].bytes_list.value[0],
                )
            reader.close()


PEERS = {
    "tensorflow_loop": TensorFlow,
    "tfrecord": TFRecord,
    "webdataset": WebDataset,
    "mosaic": Mosaic,
    "array_record": ArrayRecord,
}


def make_zip(path: Path, size: int) -> None:
    """Writes a stored zip of JPEGs of 18 to 100 KB in 100 classes, one class after the other.

    They are noise, whose data is as dense as a photo's, each with a number in a comment.
    """
    from PIL import Image as Pillow

    noise = random.Random(1)
    jpegs = []
    for i in range(24):
        side = 150 + 9 * i
        picture = Pillow.frombytes("RGB", (side, side), noise.randbytes(3 * side * side))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=85)
        jpegs.append(data.getvalue())
    count = size * len(jpegs) // sum(map(len, jpegs)) + 1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(count):
            data = jpegs[i % len(jpegs)]
            comment = b"\xff\xfe\x00\x0a" + i.to_bytes(8, "big")
            name = f"photos/class{i * CLASSES // count:03}/{i:06}.jpg"
            archive.writestr(name, data[:2] + comment + data[2:])


def child(command: str, peer: str, *args: str) -> dict:
    """Runs a part of this program in a process of its own and returns what it prints."""
    done = subprocess.run(
        [getattr(PEERS[peer], "python", sys.executable), __file__, command, peer, *args],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} {peer} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def write(peer: str, source: str, out: str) -> dict:
    """The part of a child that writes: returns its times in seconds."""
    writer = PEERS[peer]()
    wall, cpu = time.perf_counter(), time.process_time()
    writer.write(Path(source), Path(out))
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def verify(peer: str, source: str, out: str) -> dict:
    """The part of a child that reads back and compares all images and labels with the zip."""
    wanted = {name: (label, zlib.crc32(data)) for name, label, data in images(Path(source))}
    count = 0
    for name, label, data in PEERS[peer]().read(Path(out)):
        count += 1
        if wanted.get(name) != (label, zlib.crc32(data)):
            raise RuntimeError(f"{name} with the label {label} differs from the zip")
    if count != len(wanted):
        raise RuntimeError(f"{count} images, want {len(wanted)}")
    return {"images": count}


def convert(convert_local: str, source: Path, out: Path) -> dict:
    """Runs convert-local and returns the times of its whole process in seconds."""
    before, wall = os.times(), time.perf_counter()
    subprocess.run([convert_local, source, out], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - wall, os.times()
    cpu = after.children_user + after.children_system
    return {"wall": wall, "cpu": cpu - before.children_user - before.children_system}


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder that goes with the block."""
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def measure(name: str, convert_local: str, source: Path, out: Path) -> None:
    """Verifies a peer's output, runs the pairs and prints the figures."""
    with folder(out):
        child("write", name, str(source), str(out))
        count = child("verify", PEERS[name].reader, str(source), str(out))["images"]
    print(f"  {name}: {count} images verified")
    walls, cpus = [], []
    for pair in range(PAIRS):
        with folder(out):
            theirs = child("write", name, str(source), str(out))
        with folder(out):
            ours = convert(convert_local, source, out)
        print(
            f"  {name}, pair {pair}: {theirs['wall']:.2f} s wall {theirs['cpu']:.2f} s cpu,"
            f" convert {ours['wall']:.2f} s wall {ours['cpu']:.2f} s cpu"
        )
        walls.append(theirs["wall"] / ours["wall"])
        cpus.append(theirs["cpu"] / ours["cpu"])
    ratio, goal = statistics.median(walls), PEERS[name].goal
    verdict = f"goal>={goal:.2f} {'ok' if ratio >= goal else 'short'}" if goal else "no goal"
    print(f"bench: zip_vs_{name} ratio={ratio:.2f} {verdict}")
    print(f"bench: zip_vs_{name}_cpu ratio={statistics.median(cpus):.2f} no goal", flush=True)


def main(convert_local: str) -> None:
    size = int(os.environ.get("BENCH_MB", "1024")) << 20
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        source, out = Path(scratch) / "photos.zip", Path(scratch) / "out"
        make_zip(source, size)
        with folder(out):
            convert(convert_local, source, out)
            count = child("verify", "tensorflow_loop", str(source), str(out))["images"]
        print(f"  convert-local: {count} images in {source.stat().st_size >> 20} MiB verified")
        for name in PEERS:
            measure(name, convert_local, source, out)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", *args]:
            print(json.dumps(write(*args)))
        case ["verify", *args]:
            print(json.dumps(verify(*args)))
        case [path]:
            main(path)
        case _:
            sys.exit(__doc__)
