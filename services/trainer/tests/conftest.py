"""Synthetic images that are quick to learn, shards of them, and job folders around those."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = os.devnull
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
import tensorflow as tf

from trainyard_trainer import recipes
from trainyard_trainer.container import Container, Stop

PROJECT = Path(__file__).parent.parent
SIDE = 16
CLASSES = ("rows", "columns", "spot")


def picture(kind: str, random: np.random.Generator) -> np.ndarray:
    """A noisy grey image of one of the CLASSES, or of noise alone for any other."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    phase = random.integers(0, 4)
    shapes = {
        "rows": (y + phase) % 4 < 2,
        "columns": (x + phase) % 4 < 2,
        "spot": (x - 7 - phase % 2) ** 2 + (y - 7) ** 2 < 16,
    }
    clean = shapes.get(kind, np.zeros((SIDE, SIDE))) * 160.0
    noisy = clean + random.normal(40, 20, (SIDE, SIDE))
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None]


def record(image: bytes, label: int) -> bytes:
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "filename": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"a.png"])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def records(names: tuple[str, ...], count: int, seed: int) -> list[bytes]:
    """count records, classes in turn; the label is the position in names."""
    random = np.random.default_rng(seed)
    return [
        record(tf.io.encode_png(picture(names[i % len(names)], random)).numpy(), i % len(names))
        for i in range(count)
    ]


def write_shards(folder: Path, split: str, content: list[bytes], shards: int = 2) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(shards):
        path = folder / f"shapes-{split}.tfrecord-{index:05d}-of-{shards:05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for item in content[index::shards]:
                writer.write(item)
        paths.append(path)
    return paths


class JobFolder:
    """A job under SAGEMAKER_BASE_DIR, as SageMaker or localcloud lays it out."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.container = Container(base)
        (base / "input" / "config").mkdir(parents=True)
        (base / "input" / "data").mkdir()

    def channel(self, name: str) -> Path:
        return self.base / "input" / "data" / name

    def configure(self, **hyperparameters: str) -> "JobFolder":
        values = {"labels": json.dumps(CLASSES), "batch_size": "16", "seed": "3"}
        self.config("hyperparameters", values | hyperparameters)
        return self

    def config(self, name: str, content: dict) -> None:
        (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def with_data(self, train: int = 96, validation: int = 48) -> "JobFolder":
        write_shards(self.channel("train"), "train", records(CLASSES, train, 1))
        write_shards(self.channel("validation"), "validation", records(CLASSES, validation, 2), 1)
        return self

    def with_base(self, name: str, names: tuple[str, ...], count: int) -> "JobFolder":
        write_shards(self.channel(name), "train", records(names, count, 5))
        (self.channel(name) / "labels.txt").write_text("".join(f"{n}\n" for n in names))
        return self

    def run(self) -> dict:
        """Trains in this process; returns evaluation.json."""
        recipes.run(self.container, Stop())
        return self.evaluation()

    def evaluation(self) -> dict:
        return json.loads((self.container.model / "evaluation.json").read_text())

    @property
    def failure(self) -> Path:
        return self.base / "output" / "failure"


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "ml")


class Process:
    """The trainer as SageMaker starts it: a process, its log, signals."""

    def __init__(self, job: JobFolder) -> None:
        self.log = job.base / "log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainyard_trainer", "train"],
                cwd=PROJECT,
                # TensorFlow leaves temporary files behind when it is killed.
                env=os.environ | {"SAGEMAKER_BASE_DIR": str(job.base), "TMPDIR": str(job.base)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        self._wait(lambda: text in self.text(), f"{text!r} in the log")

    def wait_for_sigterm_handler(self) -> None:
        """Waits until the process catches SIGTERM, as the kernel tells it."""
        status = Path(f"/proc/{self._process.pid}/status")
        bit = 1 << (signal.SIGTERM - 1)

        def caught() -> bool:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            return bool(int(lines["SigCgt"], 16) & bit)

        self._wait(caught, "a SIGTERM handler")

    def _wait(self, condition, what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._process.poll() is None, f"ended while waiting for {what}: {self.text()}"
            assert time.monotonic() < deadline, f"no {what}: {self.text()}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self, seconds: float = 120) -> int:
        return self._process.wait(seconds)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


@pytest.fixture
def start():
    """Starts trainer processes, and ends those that are left."""
    started: list[Process] = []

    def start(job: JobFolder) -> Process:
        started.append(Process(job))
        return started[-1]

    yield start
    for process in started:
        process.end()
