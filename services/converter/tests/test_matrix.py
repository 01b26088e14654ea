"""Every format against what must hold of all: TensorFlow reads the shards, TFDS opens the folder
and decodes every example, the counts are equal, the content is the source's, the report adds up.

Each upload is written by a third-party tool where there is one, holds items that can't become
examples, and is converted once by convert-local. No code of ours reads the shards.
"""

import dataclasses
import json
import pathlib
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from formats import boxes, images, records, sound, tables
from formats.upload import CONTAINERS, Example, Upload, convert

# pycocotools', of NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FORMATS = {
    "image-folder": images.image_folder,
    "image-table": images.image_table,
    "coco": boxes.coco,
    "voc": boxes.voc,
    "yolo": boxes.yolo,
    "yolo (Darknet)": boxes.darknet,
    "csv": tables.csv,
    "csv (tsv)": tables.tsv,
    "jsonl": tables.jsonl,
    "parquet": tables.parquet,
    "parquet (datasets)": tables.parquet_hf,
    "audio-folder (int16)": sound.audio_16,
    "audio-folder (int32)": sound.audio_32,
    "audio-folder (float64)": sound.audio_float,
    "webdataset": images.web_dataset,
    "idx": images.idx,
    "tfrecord": records.tfrecord,
    "tfrecord (TFDS)": records.tfrecord_tfds,
}


@dataclasses.dataclass
class Converted:
    format: str
    upload: Upload
    out: pathlib.Path

    def read(self, name: str) -> dict[str, Any]:
        return json.loads((self.out / name).read_text())


@pytest.fixture(scope="module", params=FORMATS)
def converted(request, converter, tmp_path_factory) -> Converted:
    tmp = tmp_path_factory.mktemp("matrix")
    (tmp / "written").mkdir()
    upload = FORMATS[request.param](tmp / "written")
    data = upload.packed or CONTAINERS[upload.container](upload.files)
    out = convert(converter, data, tmp, upload.name, *upload.flags)
    return Converted(request.param.partition(" ")[0], upload, out)


@pytest.fixture(scope="module")
def examples(converted) -> dict[str, list[Example]]:
    """All examples as TFDS decodes them, by split."""
    builder = tfds.builder_from_directory(converted.out)
    return {
        split: list(tfds.as_numpy(builder.as_dataset(split=split))) for split in builder.info.splits
    }


def test_tensorflow_reads(converted):
    """tf.data checks both checksums of each record; each is an example with the same features."""
    manifest = converted.read("manifest.json")
    assert manifest["format"] == converted.format
    keys = set()
    for shard in manifest["shards"]:
        path = str(converted.out / shard["name"])
        count = 0
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            keys.add(tuple(sorted(example.features.feature)))
            count += 1
        assert count == shard["examples"]
    assert len(keys) == 1


def test_tfds_decodes_every_example(converted, examples):
    builder = tfds.builder_from_directory(converted.out)
    assert sorted(examples) == sorted(converted.upload.splits)
    for split, decoded in examples.items():
        for example in decoded:
            assert set(example) == set(builder.info.features)
        assert len(decoded) == builder.info.splits[split].num_examples
    if converted.upload.classes:
        path, names = converted.upload.classes
        feature = builder.info.features
        for name in path.split("/"):
            feature = feature[name]
        assert feature.names == names


def test_counts_are_equal(converted, examples):
    manifest = converted.read("manifest.json")
    count = len(converted.upload.want)
    assert manifest["examples"] == count
    assert sum(s["examples"] for s in manifest["shards"]) == count
    assert {s["name"]: s["examples"] for s in manifest["splits"] if s["examples"]} == {
        name: len(decoded) for name, decoded in examples.items()
    }


def test_content_equals_the_source(converted, examples):
    upload = converted.upload
    left = dict(upload.want)
    for decoded in examples.values():
        for example in decoded:
            upload.same(example, left.pop(upload.key(example)))
    assert not left


def test_report_adds_up(converted):
    """What can't become an example is named by path, line and reason, and nothing else is."""
    report = converted.read("report.json")
    found, kept, left = report["found"], report["kept"], report["left_out"]
    for kind in ("files", "rows", "annotations"):
        assert kept[kind] + left[kind] == found[kind], kind
        assert sum((report["reasons"][kind] or {}).values()) == left[kind], kind
    assert len(report["files"]) == sum(left.values())
    assert report["not_listed"] == 0
    upload = converted.upload
    # What a picture has of annotations and rows is named with it.
    named, owned = set(), set()
    for f in report["files"]:
        by = owned if f["reason"] == "OWNER_LEFT_OUT" else named
        by.add((f["path"], f.get("where", 0), f["reason"]))
    assert named == upload.left_out
    assert {path for path, _, _ in owned} <= {path for path, _, _ in named}
    assert all(f["message"] for f in report["files"])
    assert found["files"] == len(upload.files)
    if upload.rows:
        assert found["rows"] == upload.rows
    if upload.annotations:
        assert found["annotations"] == upload.annotations
