"""Rows: CSV and TSV, JSON Lines and Parquet, as pandas, pyarrow and datasets write them."""

import datetime
import decimal
import io
import pathlib
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from formats.images import decoded, picture
from formats.upload import Example, Upload

ROWS = 60
NAMES = ["lily", "rose", "tulip"]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    texts = ["plain", 'with "quotes", commas', "two\nlines", "tab\there", "ünïcode 🌷", " spaces "]
    return pd.DataFrame(
        {
            "id": np.arange(ROWS) * 1000 - 7,
            "length": rng.normal(size=ROWS),
            "count": [i if i % 6 else None for i in range(ROWS)],
            "fresh": [i % 3 == 0 for i in range(ROWS)],
            "note": [f"{texts[i % len(texts)]} {i}" for i in range(ROWS)],
            "colour": [("red", "white", None)[i % 3] for i in range(ROWS)],
            "label": [NAMES[i % 3] for i in range(ROWS)],
        }
    )


def same_row(example: Example, row: dict) -> None:
    assert example["length"] == np.float32(row["length"])
    missing = pd.isna(row["count"])
    assert example["count_missing"] == missing
    assert example["count"] == (0 if missing else row["count"])
    assert example["fresh"] == row["fresh"]
    assert example["note"].decode() == row["note"]
    assert example["colour"] == (
        -1 if pd.isna(row["colour"]) else ["red", "white"].index(row["colour"])
    )
    assert NAMES[example["label"]] == row["label"]


def by_id(table: pd.DataFrame) -> dict[int, dict]:
    return {row["id"]: row for row in table.to_dict("records")}


def csv(tmp: pathlib.Path) -> Upload:
    """A bare file as pandas writes it, with rows behind it that are none."""
    del tmp
    table = frame()
    text = table.to_csv(index=False).encode()
    lines = text.count(b"\n")
    text += b'1,2\n9,1.5,3,True,"never closed,red,rose\n9,1.5,3,True,\xff\xfe,red,rose\n'
    return Upload(
        files={"flowers.csv": text},
        want=by_id(table),
        key=lambda example: int(example["id"]),
        same=same_row,
        classes=("label", NAMES),
        container="bare",
        name="flowers.csv",
        left_out={
            ("flowers.csv", lines + 1, "MALFORMED_ROW"),
            ("flowers.csv", lines + 2, "MALFORMED_ROW"),
            ("flowers.csv", lines + 3, "INVALID_TEXT"),
        },
        rows=ROWS + 3,
    )


def tsv(tmp: pathlib.Path) -> Upload:
    """Two files with splits in their names and CR LF, zipped."""
    del tmp
    table = frame()
    parts = {"train": table[: ROWS // 2], "test": table[ROWS // 2 :]}
    files = {
        f"flowers/{name}.tsv": part.to_csv(index=False, sep="\t", lineterminator="\r\n").encode()
        for name, part in parts.items()
    }
    lines = files["flowers/train.tsv"].count(b"\n")
    files["flowers/train.tsv"] += b"1\t2\t3\r\n" + b"\t".join([b"1"] * 8) + b"\r\n"
    return Upload(
        files=files,
        want=by_id(table),
        key=lambda example: int(example["id"]),
        same=same_row,
        classes=("label", NAMES),
        container="stored zip",
        left_out={
            ("flowers/train.tsv", lines + 1, "MALFORMED_ROW"),
            ("flowers/train.tsv", lines + 2, "MALFORMED_ROW"),
        },
        rows=ROWS + 2,
    )


def jsonl(tmp: pathlib.Path) -> Upload:
    """Nested objects and lists by pandas, as one gzipped file."""
    del tmp
    table = frame()
    table["meta"] = [{"source": f"s{i}", "size": {"w": i, "h": i / 4}} for i in range(ROWS)]
    table["vector"] = [[i, i + 0.5, -i] for i in range(ROWS)]
    table["tags"] = [[f"t{k} ü" for k in range(i % 4)] for i in range(ROWS)]
    table["ragged"] = [[[k] * k for k in range(1 + i % 3)][i % 3 == 0 :] for i in range(ROWS)]
    text = table.to_json(orient="records", lines=True).encode()
    text += b'{"id": 1, "length": \n[1, 2]\n{"id": 1, "id": 2, "label": "rose"}\n'

    def same(example: Example, row: dict) -> None:
        same_row(example, row)
        assert example["meta.source"].decode() == row["meta"]["source"]
        assert example["meta.size.w"] == row["meta"]["size"]["w"]
        assert example["meta.size.h"] == row["meta"]["size"]["h"]
        assert example["vector"].tolist() == row["vector"]
        assert [t.decode() for t in example["tags"]] == row["tags"]
        assert example["ragged"].to_list() == row["ragged"]

    return Upload(
        files={"flowers.jsonl": text},
        want=by_id(table),
        key=lambda example: int(example["id"]),
        same=same,
        classes=("label", NAMES),
        container="bare gz",
        name="flowers.jsonl.gz",
        left_out={("flowers.jsonl", ROWS + n, "MALFORMED_ROW") for n in (1, 2, 3)},
        rows=ROWS + 3,
    )


def arrow() -> pa.Table:
    """A table with most of the types that there are."""
    rng = np.random.default_rng(2)
    day = datetime.date(2024, 2, 29)
    moment = datetime.datetime(2024, 2, 29, 1, 2, 3, 456789)
    r = range(ROWS)
    columns: dict[str, pa.Array] = {
        "id": pa.array(r, pa.int64()),
        "int8": pa.array([i - 30 for i in r], pa.int8()),
        "uint64": pa.array([2**63 - 1 - i for i in r], pa.uint64()),
        "float16": pa.array(np.float16(rng.normal(size=ROWS))),
        "float32": pa.array(np.float32(rng.normal(size=ROWS))),
        "float64": pa.array(rng.normal(size=ROWS)),
        "bool": pa.array([i % 2 == 0 for i in r]),
        "maybe": pa.array([i if i % 4 else None for i in r], pa.int32()),
        "date": pa.array([day + datetime.timedelta(i) for i in r]),
        "moment": pa.array([moment + datetime.timedelta(i) for i in r], pa.timestamp("us")),
        "decimal": pa.array([decimal.Decimal(i) / 4 for i in r], pa.decimal128(12, 2)),
        "text": pa.array([f"row {i} ü" for i in r]),
        "large": pa.array([f"large {i}" for i in r], pa.large_string()),
        "bytes": pa.array([bytes([255, i]) for i in r]),
        "dictionary": pa.array([("a", "b")[i % 2] for i in r]).dictionary_encode(),
        "vector": pa.array([[i, 0.5, -i] for i in r], pa.list_(pa.float32(), 3)),
        "list": pa.array([list(range(i % 5)) for i in r]),
        "texts": pa.array([[f"t{k}" for k in range(i % 3)] for i in r]),
        "nested": pa.array([[[k] * k for k in range(i % 4)] for i in r]),
        "struct": pa.array([{"a": i, "b": {"c": str(i)}} for i in r]),
        "structs": pa.array([[{"x": k, "y": f"y{k}"} for k in range(i % 3)] for i in r]),
        "label": pa.array([NAMES[i % 3] for i in r]),
    }
    return pa.table(columns)


def micro(value: Any) -> int:
    """Microseconds since 1970, of a date or a time without a zone."""
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    return (value - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def same_arrow(example: Example, row: dict) -> None:
    for name in ("int8", "uint64", "bool", "float16", "float32"):
        assert example[name] == row[name], name
    assert example["float64"] == np.float32(row["float64"])
    assert example["decimal"] == float(row["decimal"])
    assert example["maybe"] == (row["maybe"] or 0)
    assert example["maybe_missing"] == (row["maybe"] is None)
    for name in ("date", "moment"):
        assert example[name] == micro(row[name]), name
    for name in ("text", "large"):
        assert example[name].decode() == row[name]
    assert example["bytes"] == row["bytes"]
    assert "ab"[example["dictionary"]] == row["dictionary"]
    assert example["vector"].tolist() == row["vector"]
    assert example["list"].tolist() == row["list"]
    assert [t.decode() for t in example["texts"]] == row["texts"]
    assert example["nested"].to_list() == row["nested"]
    assert example["struct.a"] == row["struct"]["a"]
    assert example["struct.b.c"].decode() == row["struct"]["b"]["c"]
    assert example["structs"]["x"].tolist() == [s["x"] for s in row["structs"]]
    assert [y.decode() for y in example["structs"]["y"]] == [s["y"] for s in row["structs"]]
    assert NAMES[example["label"]] == row["label"]


def parquet(tmp: pathlib.Path) -> Upload:
    """One table in several files, each written in another of pyarrow's ways."""
    del tmp
    table = arrow()
    ways = [
        {"compression": "snappy"},
        {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 3},
        {"compression": "gzip", "use_dictionary": False, "data_page_size": 64},
        {"compression": "brotli", "version": "1.0"},
        {"compression": "lz4", "write_statistics": False},
        {
            "compression": "none",
            "use_dictionary": False,
            "column_encoding": {
                "id": "DELTA_BINARY_PACKED",
                "text": "DELTA_BYTE_ARRAY",
                "large": "DELTA_LENGTH_BYTE_ARRAY",
                "float32": "BYTE_STREAM_SPLIT",
            },
        },
    ]
    files = {}
    size = ROWS // len(ways)
    for i, way in enumerate(ways):
        out = io.BytesIO()
        part = table.slice(i * size, size)
        if i == 0:
            part = pa.concat_tables([part, with_bad_rows(part.slice(0, 2))])
        pq.write_table(part, out, **way)
        files[f"flowers/part-{i}.parquet"] = out.getvalue()
    return Upload(
        files=files,
        want={row["id"]: row for row in table.to_pylist()},
        key=lambda example: int(example["id"]),
        same=same_arrow,
        classes=("label", NAMES),
        left_out={
            ("flowers/part-0.parquet", size + 1, "MISSING_LABEL"),
            ("flowers/part-0.parquet", size + 2, "INVALID_TEXT"),
        },
        rows=ROWS + 2,
    )


def with_bad_rows(two: pa.Table) -> pa.Table:
    """A row without a label and one whose text is not UTF-8."""
    text = pa.array([b"fine", b"\xff\xfe"]).view(pa.string())
    two = two.set_column(two.schema.get_field_index("text"), "text", text)
    label = pa.array([None, "rose"], pa.string())
    return two.set_column(two.schema.get_field_index("label"), "label", label)


def parquet_hf(tmp: pathlib.Path) -> Upload:
    """A dataset of Hugging Face's with pictures, sounds and classes, by its own to_parquet."""
    features = datasets.Features(
        {
            "id": datasets.Value("int64"),
            "image": datasets.Image(),
            "audio": datasets.Audio(),
            "label": datasets.ClassLabel(names=["zebra", "cat"]),
            "tags": datasets.Sequence(datasets.ClassLabel(names=["small", "big"])),
        }
    )
    rows = []
    for i in range(ROWS):
        sound = io.BytesIO()
        samples = np.random.default_rng(i).integers(-(2**15), 2**15, 50 + i, dtype=np.int16)
        soundfile.write(sound, samples, 8000, "PCM_16", format="WAV")
        rows.append(
            {
                "id": i,
                "image": {"bytes": picture(i, ("PNG", "JPEG")[i % 2]), "path": f"{i}.png"},
                "audio": {"bytes": sound.getvalue(), "path": f"{i}.wav"},
                "label": i % 2,
                "tags": [k % 2 for k in range(i % 3)],
            }
        )
    no_bytes = {"bytes": None, "path": "elsewhere.png"}
    bad = [
        (rows[0] | {"image": {"bytes": picture(0)[:150], "path": None}}, "TRUNCATED_IMAGE"),
        (rows[0] | {"image": no_bytes}, "MISSING_VALUE"),
        (rows[0] | {"audio": {"bytes": b"RIFF", "path": None}}, "TRUNCATED_AUDIO"),
        (rows[0] | {"label": None}, "MISSING_LABEL"),
    ]
    # The columns in the form in which they are stored: encoding sounds anew would need PyTorch.
    table = pa.Table.from_pylist(rows + [row for row, _ in bad], features.arrow_schema)
    path = tmp / "train.parquet"
    datasets.Dataset(table).to_parquet(str(path), batch_size=16)

    def same(example: Example, row: dict) -> None:
        assert np.array_equal(example["image"], decoded(row["image"]["bytes"]))
        sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        assert np.array_equal(example["audio"], sound)
        assert example["audio_sample_rate"] == rate
        assert example["label"] == row["label"]
        assert example["tags"].tolist() == row["tags"]

    return Upload(
        files={"data/train-00000-of-00001.parquet": path.read_bytes()},
        want={row["id"]: row for row in rows},
        key=lambda example: int(example["id"]),
        same=same,
        classes=("label", ["zebra", "cat"]),
        container="bare",
        name="train-00000-of-00001.parquet",
        left_out={
            ("train-00000-of-00001.parquet", ROWS + 1 + n, reason)
            for n, (_, reason) in enumerate(bad)
        },
        rows=ROWS + len(bad),
    )
