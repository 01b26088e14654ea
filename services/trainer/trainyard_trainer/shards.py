"""TFRecord shards on disk, seen as files: which there are, how many records, which one is broken.

Layout: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details, that is
length (uint64, little endian), CRC32C of the length, the payload, CRC32C of the payload. Names are
TFDS's: NAME-SPLIT.tfrecord-00000-of-00004. TensorFlow is needed only to find the broken shard.
"""

import contextlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trainyard_trainer.container import JobError

_NUMBERED = re.compile(r".+\.tfrecord-(?P<index>\d+)-of-(?P<count>\d+)")
_HEADER = struct.Struct("<Q4x")
_FOOTER_BYTES = 4

COUNT_LIMIT = 50_000
"""Records counted one by one. Beyond it the rest is estimated by size: on a shared file system
each header of a large record is a round trip, and the count only sets lengths and shares."""


def find(
    channel: str, folder: Path, pattern: str = "*.tfrecord-*", prefer: str = ""
) -> tuple[Path, ...]:
    """The shards of a channel, sorted.

    When some are of the preferred split, only they are taken: of a folder with several splits,
    training must not see the test split. Raises JobError when there is none or one is missing.
    """
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not found:
        raise JobError(
            f"channel {channel} holds no TFRecord shard ({pattern}) in {folder}: "
            "check the channel's S3 prefix or the file system's directory path"
        )
    if prefer:
        of_split = [path for path in found if _stem(path).endswith("-" + prefer)]
        found = of_split or found
    _check_complete(channel, found)
    return tuple(found)


def _stem(path: Path) -> str:
    return path.name.split(".tfrecord-")[0]


def _check_complete(channel: str, found: Sequence[Path]) -> None:
    seen: dict[tuple[str, int], set[int]] = {}
    for path in found:
        if match := _NUMBERED.fullmatch(path.name):
            key = (_stem(path), int(match["count"]))
            seen.setdefault(key, set()).add(int(match["index"]))
    for (stem, count), indices in seen.items():
        missing = sorted(set(range(count)) - indices)
        if missing:
            raise JobError(
                f"channel {channel} lacks {len(missing)} of the {count} shards of {stem}, "
                f"first {stem}.tfrecord-{missing[0]:05d}-of-{count:05d}: "
                "copy the dataset again, whole"
            )


def read_labels(folder: Path, feature: str = "label") -> tuple[str, ...] | None:
    """The label names in a folder, one a line, by label; None when it has no such file.

    The file has TensorFlow Datasets' name for the names of a feature, or a plain one.
    """
    for name in (f"{feature}.labels.txt", "labels.txt"):
        path = folder / name
        if path.is_file():
            lines = path.read_text(encoding="utf-8").split("\n")
            return tuple(line.strip() for line in lines if line.strip())
    return None


def count(channel: str, found: Sequence[Path], limit: int = COUNT_LIMIT) -> int:
    """The number of records, exact up to the limit and estimated by size beyond it.

    Raises JobError naming the shard when a record's length runs past the end of its file.
    """
    records = bytes_counted = 0
    for path in found:
        size = path.stat().st_size
        with path.open("rb", buffering=1 << 16) as shard:
            position = 0
            while position < size and records < limit:
                header = shard.read(_HEADER.size)
                if len(header) == _HEADER.size:
                    position += _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER_BYTES
                if len(header) < _HEADER.size or position > size:
                    raise _broken(channel, path, f"record {records} runs past the end of the file")
                shard.seek(position)
                records += 1
        bytes_counted += position
    total = sum(path.stat().st_size for path in found)
    return round(records * total / bytes_counted) if bytes_counted else 0


@contextlib.contextmanager
def naming_the_broken(channels: Mapping[str, Sequence[Path]]) -> Iterator[None]:
    """Turns TensorFlow's DataLossError, which doesn't say where, into a JobError that does.

    The shards are read once more to find out, which costs only a job that has failed already.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.DataLossError as error:
        for channel, found in channels.items():
            for path in found:
                try:
                    for _ in tf.data.TFRecordDataset(str(path)):
                        pass
                except tf.errors.DataLossError as broken:
                    raise _broken(channel, path, broken.message) from error
        raise


def _broken(channel: str, path: Path, reason: str) -> JobError:
    return JobError(
        f"shard {path.name} of channel {channel} is corrupt ({reason}): "
        "copy or convert the dataset again"
    )
