"""TFRecord, by TensorFlow's writer and by TensorFlow Datasets."""

import pathlib
import struct

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from formats.images import decoded, picture, pixels
from formats.upload import Example, Upload, tree


def feature(**values: list) -> dict[str, tf.train.Feature]:
    def one(value: list) -> tf.train.Feature:
        if isinstance(value[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
        if isinstance(value[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    return {name: one(value) for name, value in values.items()}


def serialized(**values: list) -> bytes:
    return tf.train.Example(
        features=tf.train.Features(feature=feature(**values))
    ).SerializeToString()


def tfrecord(tmp: pathlib.Path) -> Upload:
    """Records of tf.io.TFRecordWriter; the last four are bad."""
    rows = {
        i: {
            "id": [i],
            "image": [picture(i)],
            "label": [i % 3],
            "vector": [i / 2, -0.25, 1.5],
            "text": [f"row {i} ü".encode()],
        }
        for i in range(40)
    }
    path = tmp / "train.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows.values():
            writer.write(serialized(**row))
        writer.write(serialized(**{k: v for k, v in rows[0].items() if k != "image"}))
        writer.write(serialized(**rows[0] | {"label": [3]}))
        writer.write(serialized(**rows[0] | {"text": [b"damaged"]}))
        writer.write(serialized(**rows[0] | {"text": [b"cut"]}))
    data = path.read_bytes()
    at = data.index(b"damaged")
    data = data[:at] + b"DAMAGED" + data[at + 7 :]

    def same(example: Example, row: dict) -> None:
        assert np.array_equal(example["image"], decoded(row["image"][0]))
        assert example["label"] == row["label"][0]
        assert example["vector"].tolist() == row["vector"]
        assert example["text"] == row["text"][0]

    return Upload(
        files={"flowers/train.tfrecord": data[:-5], "flowers/labels.txt": b"lily\nrose\ntulip\n"},
        want=rows,
        key=lambda example: int(example["id"]),
        same=same,
        classes=("label", ["lily", "rose", "tulip"]),
        left_out={
            ("flowers/train.tfrecord", 41, "MISSING_PART"),
            ("flowers/train.tfrecord", 42, "LABEL_OUT_OF_RANGE"),
            ("flowers/train.tfrecord", 43, "CORRUPT_RECORD"),
            ("flowers/train.tfrecord", 44, "CORRUPT_RECORD"),
        },
        rows=44,
    )


def tfrecord_tfds(tmp: pathlib.Path) -> Upload:
    """A folder that TensorFlow Datasets wrote, features.json and all."""
    features = tfds.features.FeaturesDict(
        {
            "id": np.int64,
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["zebra", "cat"]),
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(num_classes=4),
                }
            ),
            "ragged": tfds.features.Sequence(tfds.features.Sequence(np.int64)),
            "matrix": tfds.features.Tensor(shape=(2, None), dtype=np.float32),
            "text": tfds.features.Text(),
        }
    )
    rows = {
        i: {
            "id": i,
            "image": pixels(i),
            "label": i % 2,
            "objects": [
                {"bbox": tfds.features.BBox(0.0, 0.0, 0.5, 0.25 * (k + 1)), "label": k}
                for k in range(i % 4)
            ],
            "ragged": [[k] * k for k in range(i % 3)],
            "matrix": np.full((2, 1 + i % 3), i / 4, np.float32),
            "text": f"row {i} ü",
        }
        for i in range(30)
    }

    identity = tfds.core.dataset_info.DatasetIdentity(
        name="birds", version=tfds.core.Version("1.0.0"), data_dir=str(tmp), module_name=__name__
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=8, overwrite=True)
    writer.initialize_splits(["train", "test"])
    writer.add_examples({"train": [rows[i] for i in range(20)]})
    writer.add_examples({"test": [rows[i] for i in range(20, 30)]})
    writer.close_all()
    files = tree(tmp, "birds/")
    path = next(p for p in files if "-train.tfrecord" in p)
    (length,) = struct.unpack("<Q", files[path][:8])
    lost = int(features.deserialize_example_np(files[path][12 : 12 + length])["id"])
    damaged = bytearray(files[path])
    damaged[12 + length // 2] ^= 1
    files[path] = bytes(damaged)

    def same(example: Example, row: dict) -> None:
        assert np.array_equal(example["image"], row["image"])
        assert example["label"] == row["label"]
        assert example["objects"]["bbox"].tolist() == [list(o["bbox"]) for o in row["objects"]]
        assert example["objects"]["label"].tolist() == [o["label"] for o in row["objects"]]
        assert example["ragged"].to_list() == row["ragged"]
        assert np.array_equal(example["matrix"], row["matrix"])
        assert example["text"].decode() == row["text"]

    return Upload(
        files=files,
        want={i: row for i, row in rows.items() if i != lost},
        key=lambda example: int(example["id"]),
        same=same,
        classes=("label", ["zebra", "cat"]),
        left_out={(path, 1, "CORRUPT_RECORD")},
        rows=30,
    )
