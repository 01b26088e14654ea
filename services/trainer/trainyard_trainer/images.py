"""Image examples from TFRecord shards, as tf.data streams.

A record has the features ``image`` (bytes, a PNG or JPEG file) and ``label`` (int64), or two like
them of other names. An image that
doesn't decode is left out and counted; it never ends a job. TensorFlow can only ignore the errors
of a whole stream, and those of a corrupt shard must not be ignored. So records are decoded in
chunks, each a small stream of its own. That also keeps the bookkeeping cheap, which for small
images costs more than decoding them when it is done one by one.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainyard_trainer import shards
from trainyard_trainer.container import JobError

MAX_DERIVED_SIDE = 224
"""The largest side chosen from the data; a user may ask for more."""

_SAMPLE = 256
_CHUNK = 64
_SHUFFLE_BYTES = 256 << 20
_SHUFFLE_RECORDS = 1 << 16
_UNKNOWN = -1
"""The label of an example whose class the model doesn't have."""


@dataclass(frozen=True)
class Features:
    """The names of the features that an example is read from."""

    image: str = "image"
    label: str = "label"

    def parse(self, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The image file and the label of a record."""
        parsed = tf.io.parse_single_example(
            record,
            {
                self.image: tf.io.FixedLenFeature([], tf.string),
                self.label: tf.io.FixedLenFeature([], tf.int64),
            },
        )
        return parsed[self.image], parsed[self.label]


USUAL = Features()


@dataclass(frozen=True)
class Shape:
    """The model's input: square images of side pixels with 1 (grey) or 3 (RGB) channels."""

    side: int
    channels: int


@dataclass(frozen=True)
class Source:
    """A channel's shards, and what its labels mean to the model."""

    channel: str
    shards: tuple[Path, ...]
    records: int
    join: tuple[int, ...]
    """The model's label by the record's label; _UNKNOWN where the model has no such class."""
    left_out: tuple[str, ...] = ()
    """Names of this channel's classes that the model doesn't know."""
    features: Features = USUAL
    strangers: int = 0
    """Records of those classes, as far as they were counted beforehand."""

    @property
    def usable(self) -> int:
        """Records that can be trained on, if all of them decode."""
        return self.records - self.strangers


class Rows(NamedTuple):
    """Examples of one source, and what was left out on the way to them."""

    image: tf.Tensor  # uint8 [n, side, side, channels]
    label: tf.Tensor  # int64 [n]
    unreadable: tf.Tensor  # int64: records whose image doesn't decode
    unknown: tf.Tensor  # int64: records whose class the model doesn't have


class Example(NamedTuple):
    """One example of a mix, with what it takes to account for it."""

    image: tf.Tensor  # uint8 [side, side, channels]
    label: tf.Tensor  # int64
    source: tf.Tensor  # int64, the position of its source in the mix
    unreadable: tf.Tensor  # int64, left out in the first pass since the example before
    unknown: tf.Tensor  # int64, likewise


def open_source(
    channel: str, folder: Path, labels: Sequence[str], features: Features = USUAL
) -> Source:
    """Opens a channel whose labels are those of the model."""
    source = _source(channel, shards.find(channel, folder), tuple(range(len(labels))))
    return replace(source, features=features)


def open_base(channel: str, folder: Path, labels: Sequence[str]) -> Source:
    """Opens a base dataset, whose labels are joined to the model's by name.

    Its features are those of its features.json. Raises JobError when the base has no label names,
    or shares none with the model.
    """
    features = _described(folder)
    names = shards.read_labels(folder, features.label)
    if not names:
        raise JobError(
            f"base dataset {channel} has no label names: put a file labels.txt with one name a "
            "line, in the order of its labels, beside its shards"
        )
    return replace(_joined("base dataset", channel, folder, names, labels), features=features)


def _described(folder: Path) -> Features:
    """What to read by TensorFlow Datasets' features.json beside the shards, if that is there.

    The usual name, or the only feature of its kind: the rule by which jobs are checked before.
    """
    try:
        description = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        kinds = {
            name: feature["pythonClassName"].rsplit(".", 1)[-1]
            for name, feature in description["featuresDict"]["features"].items()
        }
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return USUAL

    def choose(usual: str, kind: str) -> str:
        fit = [name for name in kinds if kinds[name] == kind]
        return fit[0] if len(fit) == 1 else usual

    return Features(choose(USUAL.image, "Image"), choose(USUAL.label, "ClassLabel"))


def open_version(
    channel: str,
    folder: Path,
    names: Sequence[str],
    labels: Sequence[str],
    features: Features = USUAL,
) -> Source:
    """Opens another version or dataset of the user's, whose labels are joined to the model's.

    Its examples of other classes are counted at once: its share of the training is by what is left.
    """
    source = _joined("additional dataset", channel, folder, names, labels)
    source = replace(source, features=features)
    return replace(source, strangers=_count_strangers(source)) if source.left_out else source


def _joined(
    kind: str, channel: str, folder: Path, names: Sequence[str], labels: Sequence[str]
) -> Source:
    found = shards.find(channel, folder, prefer="train")
    source = _source(channel, found, _join(names, labels), names)
    if all(label < 0 for label in source.join):
        raise JobError(
            f"{kind} {channel} shares no class with your dataset: its classes are "
            f"{_listed(names)}, yours are {_listed(labels)}. Rename your class folders to match, "
            f"or train without this {kind}"
        )
    return source


def _count_strangers(source: Source) -> int:
    """Records of classes the model doesn't have: exact, or for many records by the first ones."""
    join = tf.constant((*source.join, _UNKNOWN), tf.int64)
    classes = len(source.join)

    def unknown(record: tf.Tensor) -> tf.Tensor:
        _, label = source.features.parse(record)
        label = tf.where((label >= 0) & (label < classes), label, classes)
        return tf.cast(tf.gather(join, label) < 0, tf.int64)

    looked_at = min(source.records, shards.COUNT_LIMIT)
    records = tf.data.TFRecordDataset(_paths(source)).take(looked_at)
    # Records that can't be parsed are passed over, a corrupt shard is not: see above.
    flags = records.batch(_CHUNK).flat_map(
        lambda batch: tf.data.Dataset.from_tensor_slices(batch).map(unknown).ignore_errors()
    )
    with shards.naming_the_broken({source.channel: source.shards}):
        strangers = int(flags.reduce(tf.zeros([], tf.int64), lambda total, flag: total + flag))
    return round(strangers * source.records / looked_at)


def open_measured(folder: Path, pattern: str, labels: Sequence[str]) -> Source:
    """Opens data to measure a model on: its test split if it has one, joined by name if named."""
    found = shards.find("data", folder, pattern, prefer="test")
    names = shards.read_labels(folder) or tuple(labels)
    return _source("data", found, _join(names, labels), names)


def _source(
    channel: str, found: tuple[Path, ...], join: tuple[int, ...], names: Sequence[str] = ()
) -> Source:
    records = shards.count(channel, found)
    if not records:
        raise JobError(
            f"the shards of channel {channel} are empty: convert the dataset with a larger share "
            "for that split"
        )
    left_out = tuple(name for name, label in zip(names, join, strict=False) if label < 0)
    return Source(channel, found, records, join, left_out)


def _join(names: Sequence[str], labels: Sequence[str]) -> tuple[int, ...]:
    position = {name: label for label, name in enumerate(labels)}
    return tuple(position.get(name, _UNKNOWN) for name in names)


def derive_shape(source: Source, side: int, channels: int) -> Shape:
    """Fills in what is 0 from the source's first images.

    The side is the median of their longer sides, at most 224; the channels are 1 when all of
    them are grey. Raises JobError when no image can be read.
    """
    sides, grey = [], True
    for record in tf.data.TFRecordDataset(_paths(source)).take(_SAMPLE):
        try:
            file, _ = source.features.parse(record)
            image = tf.io.decode_image(file, channels=3, expand_animations=False)
        except tf.errors.InvalidArgumentError:
            continue
        pixels = image.numpy()
        sides.append(max(pixels.shape[:2]))
        grey = grey and bool((pixels == pixels[..., :1]).all())
    if not sides:
        raise JobError(
            f"channel {source.channel} holds no image that can be read: its records need the "
            f"features {source.features.image} (a PNG or JPEG file) and {source.features.label}"
        )
    derived = min(max(int(np.median(sides)), 8), MAX_DERIVED_SIDE)
    return Shape(side or derived, channels or (1 if grey else 3))


def one_pass(source: Source, shape: Shape) -> tf.data.Dataset:
    """Every record of the source once, in order, as Rows of at most 64 examples."""
    return _chunks(tf.data.TFRecordDataset(_paths(source)), source, shape)


def mixed(
    sources: Sequence[Source], weights: Sequence[float], shape: Shape, seed: int
) -> tf.data.Dataset:
    """An endless stream of Examples drawn from the sources by weight.

    Each source is gone through again and again, in another order each time. The same seed gives
    the same stream.
    """
    streams = [
        _endless(source, shape, position, seed + 1000 * position)
        for position, source in enumerate(sources)
    ]
    if len(streams) == 1:
        return streams[0]
    return tf.data.Dataset.sample_from_datasets(streams, list(weights), seed=seed)


def check_readable(source: Source, shape: Shape) -> None:
    """Raises JobError when the source has no example at all: its endless stream would hang."""
    if not any(len(rows.label) for rows in one_pass(source, shape)):
        raise JobError(
            f"channel {source.channel} holds no usable example: none of its images decodes, or "
            "none has a class of your dataset"
        )


def _endless(source: Source, shape: Shape, position: int, seed: int) -> tf.data.Dataset:
    paths = _paths(source)
    record_bytes = sum(path.stat().st_size for path in source.shards) // max(source.records, 1)
    window = min(source.records, _SHUFFLE_RECORDS, _SHUFFLE_BYTES // max(record_bytes, 1))

    def shuffled_pass(number: tf.Tensor) -> tf.data.Dataset:
        pass_seed = seed + 7919 * number
        first = tf.cast(number == 0, tf.int64)
        records = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=pass_seed)
        # Several shards are open at once, so that one that holds few classes is spread out.
        records = records.interleave(tf.data.TFRecordDataset, cycle_length=4, block_length=16)
        records = records.shuffle(max(window, 1), seed=pass_seed + 1)
        return _chunks(records, source, shape).map(lambda rows: (rows, first))

    def account(carried: tf.Tensor, rows: Rows, first: tf.Tensor):
        """Puts the counts on the chunk's first example, or carries them past an empty chunk."""
        counts = carried + first * tf.stack([rows.unreadable, rows.unknown])
        n = tf.size(rows.label)
        on_first = tf.one_hot(tf.zeros([], tf.int32), n, dtype=tf.int64)
        examples = Example(
            rows.image,
            rows.label,
            tf.fill([n], tf.constant(position, tf.int64)),
            counts[0] * on_first,
            counts[1] * on_first,
        )
        return tf.where(n > 0, tf.zeros_like(counts), counts), examples

    endless = tf.data.Dataset.range(tf.int64.max).flat_map(shuffled_pass)
    return endless.scan(tf.zeros([2], tf.int64), lambda carried, x: account(carried, *x)).unbatch()


def _chunks(records: tf.data.Dataset, source: Source, shape: Shape) -> tf.data.Dataset:
    """Rows from serialized records."""
    join = tf.constant((*source.join, _UNKNOWN), tf.int64)
    classes = len(source.join)
    blank = tf.zeros([shape.side, shape.side, shape.channels], tf.uint8)

    def example(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        file, label = source.features.parse(record)
        label = tf.where((label >= 0) & (label < classes), label, classes)
        return _fit(file, shape), tf.gather(join, label)

    def chunk(batch: tf.Tensor) -> tf.data.Dataset:
        decoded = tf.data.Dataset.from_tensor_slices(batch).map(example).ignore_errors()
        # A blank example goes ahead: a chunk of which nothing decodes still gives one element.
        ahead = tf.data.Dataset.from_tensors((blank, tf.constant(_UNKNOWN, tf.int64)))
        together = ahead.concatenate(decoded).batch(_CHUNK + 1)
        return together.map(lambda image, label: settle(image[1:], label[1:], tf.size(batch)))

    def settle(image: tf.Tensor, label: tf.Tensor, records_in: tf.Tensor) -> Rows:
        known = label >= 0
        return Rows(
            tf.boolean_mask(image, known),
            tf.boolean_mask(label, known),
            tf.cast(records_in - tf.size(label), tf.int64),
            tf.math.count_nonzero(~known),
        )

    cores = os.cpu_count() or 1
    return records.batch(_CHUNK).interleave(chunk, cycle_length=cores, num_parallel_calls=cores)


def _fit(file: tf.Tensor, shape: Shape) -> tf.Tensor:
    """Decodes an image file and stretches it to the model's square."""
    image = tf.io.decode_image(file, channels=shape.channels, expand_animations=False)
    image.set_shape([None, None, shape.channels])
    square = [shape.side, shape.side]

    def resize() -> tf.Tensor:
        resized = tf.image.resize(image, square, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)

    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], square))
    return tf.ensure_shape(tf.cond(fits, lambda: image, resize), [*square, shape.channels])


def _paths(source: Source) -> list[str]:
    return [str(path) for path in source.shards]


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
