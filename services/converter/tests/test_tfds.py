"""TensorFlow and TensorFlow Datasets read what the converter writes.

The archive is made here, converted by the Go command convert-local, and read back with tf.data and
tfds.builder_from_directory alone: no code of ours reads the shards.
"""

import io
import json
import os
import pathlib
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
import tensorflow_datasets as tfds

CLASSES = ["café", "cat", "dog"]


def picture(seed: int, kind: str, mode: str) -> bytes:
    shape = (9, 11) if mode == "L" else (9, 11, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels, mode).save(out, kind)
    return out.getvalue()


def pictures(kinds: list[str], mode: str) -> dict[str, bytes]:
    """Returns 40 images for each class by path."""
    return {
        f"photos/{name}/{i}.{kinds[i % len(kinds)].lower()}": picture(
            100 * label + i, kinds[i % len(kinds)], mode
        )
        for label, name in enumerate(CLASSES)
        for i in range(40)
    }


def write_zip(path: pathlib.Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            z.writestr(name, data)


def write_tar(path: pathlib.Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def convert(converter: pathlib.Path, source: pathlib.Path, *flags: str) -> pathlib.Path:
    out = source.parent / "out"
    subprocess.run([converter, source, out, "--dataset", "photos", *flags], check=True)
    return out


@pytest.mark.parametrize(
    ("kinds", "mode", "write", "encoding", "channels"),
    [
        (["PNG"], "L", write_zip, "png", 1),
        (["JPEG"], "RGB", write_tar, "jpeg", 3),
        (["PNG", "JPEG"], "RGB", write_zip, None, 3),
    ],
    ids=["grey PNG in a zip", "JPEG in a tar.gz", "both kinds in a zip"],
)
def test_counts_and_bytes_equal_the_source(
    converter, tmp_path, kinds, mode, write, encoding, channels
):
    files = pictures(kinds, mode)
    write(tmp_path / "source", files)
    out = convert(converter, tmp_path / "source")
    manifest = json.loads((out / "manifest.json").read_text())

    # The bare shards, by tf.data.
    want = dict(files)
    for shard in manifest["shards"]:
        records = list(tf.data.TFRecordDataset(str(out / shard["name"])).as_numpy_iterator())
        assert len(records) == shard["examples"]
        for record in records:
            example = tf.train.Example.FromString(record)
            assert example.SerializeToString(deterministic=True) == record
            feature = example.features.feature
            assert sorted(feature) == ["filename", "image", "label", "orientation"]
            name = feature["filename"].bytes_list.value[0].decode()
            assert feature["image"].bytes_list.value[0] == want.pop(name)
            assert CLASSES[feature["label"].int64_list.value[0]] == name.split("/")[1]
    assert not want

    # The folder, by TensorFlow Datasets.
    builder = tfds.builder_from_directory(out)
    assert builder.info.full_name == "photos/1.0.0"
    assert builder.info.features["label"].names == CLASSES
    assert builder.info.features["image"].encoding_format == encoding
    assert builder.info.features["image"].shape == (None, None, channels)
    assert builder.info.supervised_keys == ("image", "label")
    want = dict(files)
    for split in manifest["splits"]:
        info = builder.info.splits[split["name"]]
        assert info.num_examples == split["examples"]
        assert info.num_bytes == split["bytes"] - 16 * split["examples"]
        count = 0
        for example in tfds.as_numpy(builder.as_dataset(split=split["name"])):
            data = want.pop(example["filename"].decode())
            decoded = tf.io.decode_image(data, channels=channels).numpy()
            assert np.array_equal(example["image"], decoded)
            count += 1
        assert count == split["examples"]
    assert not want
    raw = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    for example in tfds.as_numpy(raw):
        assert example["image"] == files[example["filename"].decode()]


def test_several_shards_a_split(converter, tmp_path):
    """TFDS finds all shards by their names and reads each record once."""
    rng = np.random.default_rng(1)
    files = {}
    for label in range(2):
        for i in range(30):
            out = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(out, "PNG")
            files[f"{label}/{i}.png"] = out.getvalue()
    write_zip(tmp_path / "source", files)
    out = convert(converter, tmp_path / "source", "--shard-bytes", str(1 << 20))
    builder = tfds.builder_from_directory(out)
    assert builder.info.splits["train"].num_shards > 5
    seen = [
        example["filename"].decode()
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    ]
    assert sorted(seen) == sorted(files)


def test_bad_files_are_reported(converter, tmp_path):
    """One truncated PNG and one text file don't end a conversion."""
    files = pictures(["PNG"], "RGB")
    bad = "photos/cat/3.png"
    files[bad] = files[bad][: len(files[bad]) // 2]
    write_zip(tmp_path / "source", files | {"photos/notes.txt": b"hello"})
    out = convert(converter, tmp_path / "source")
    report = json.loads((out / "report.json").read_text())
    assert {f["path"]: f["reason"] for f in report["files"]} == {
        bad: "TRUNCATED_IMAGE",
        "photos/notes.txt": "NOT_DATA",
    }
    builder = tfds.builder_from_directory(out)
    assert sum(s.num_examples for s in builder.info.splits.values()) == len(files) - 1


def test_a_split_may_lose_all_its_examples(converter, tmp_path):
    """TFDS can't read a split without examples, so it isn't told of it."""
    files = {f"{i % 2}/{i}.png": picture(i, "PNG", "L") for i in range(6)}
    (tmp_path / "good").mkdir()
    write_zip(tmp_path / "good" / "source", files)
    builder = tfds.builder_from_directory(convert(converter, tmp_path / "good" / "source"))
    for example in tfds.as_numpy(builder.as_dataset(split="validation")):
        files[example["filename"].decode()] = b"\x89PNG"
    write_zip(tmp_path / "source", files)
    builder = tfds.builder_from_directory(
        convert(converter, tmp_path / "source", "--max-bad-fraction", "0.5")
    )
    assert sorted(builder.info.splits) == ["test", "train"]
    assert (
        sum(1 for _ in builder.as_dataset(split="train"))
        == builder.info.splits["train"].num_examples
    )
