"""The same dataset comes out of every container, and wrapping it in a folder changes nothing."""

import json

import pytest
import tensorflow as tf

from formats.images import class_folders
from formats.tables import frame
from formats.upload import CONTAINERS, Files, convert


def records(out) -> set[bytes]:
    shards = json.loads((out / "manifest.json").read_text())["shards"]
    paths = [str(out / shard["name"]) for shard in shards]
    return set(tf.data.TFRecordDataset(paths).as_numpy_iterator())


def flowers() -> Files:
    return {"flowers.csv": frame().to_csv(index=False).encode()}


ENDINGS = {"bare": "", "bare gz": ".gz", "bare zst": ".zst", "bare bz2": ".bz2"}


@pytest.mark.parametrize("container", CONTAINERS)
def test_examples_do_not_depend_on_the_container(converter, tmp_path, container):
    bare = container in ENDINGS
    files = flowers() if bare else class_folders()
    (tmp_path / "zip").mkdir()
    (tmp_path / "other").mkdir()
    name = "flowers.csv" + ENDINGS.get(container, "")
    out = convert(converter, CONTAINERS[container](files), tmp_path / "other", name)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["format"] == ("csv" if bare else "image-folder")
    assert manifest["left_out"] == 0
    same = convert(converter, CONTAINERS["zip"](files), tmp_path / "zip", "upload.zip")
    assert len(records(out)) == manifest["examples"]
    assert records(out) == records(same)
