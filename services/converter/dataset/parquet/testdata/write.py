"""Writes the files in testdata and what is in them, with pyarrow 26."""

import datetime as dt
import decimal
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

out = pathlib.Path(__file__).parent
n = 40


def maybe(xs):
    return [None if i % 7 == 3 else x for i, x in enumerate(xs)]


def flat(xs):
    return [y for x in xs for y in x]


def known(v):
    return 0 if v is None else v


cols = {
    "int8": pa.array(maybe([i - 20 for i in range(n)]), pa.int8()),
    "uint32": pa.array([2**32 - 1 - i for i in range(n)], pa.uint32()),
    "int64": pa.array([(-1) ** i * 2 ** (i + 20) for i in range(n)], pa.int64()),
    "float16": pa.array(np.array([i / 8 for i in range(n)], np.float16)),
    "double": pa.array(maybe([i / 4 for i in range(n)]), pa.float64()),
    "bool": pa.array(maybe([i % 3 == 0 for i in range(n)])),
    "text": pa.array(maybe([f"text {i} é" for i in range(n)])),
    "binary": pa.array([bytes([i]) * (i % 5) for i in range(n)], pa.binary()),
    "fixed": pa.array([bytes([65 + i % 26]) * 4 for i in range(n)], pa.binary(4)),
    "decimal": pa.array(
        [decimal.Decimal(-25 * i) / 100 for i in range(n)], pa.decimal128(30, 2)
    ),
    "date": pa.array(
        [dt.date(1960, 1, 1) + dt.timedelta(days=400 * i) for i in range(n)]
    ),
    "nanos": pa.array(
        [1_000_500 * i - 5_000_001 for i in range(n)], pa.timestamp("ns")
    ),
    "millis": pa.array([1_001 * i - 500 for i in range(n)], pa.timestamp("ms", "UTC")),
    "list": pa.array(
        maybe([[None if j == 2 else j for j in range(i % 4)] for i in range(n)]),
        pa.list_(pa.int64()),
    ),
    "ragged": pa.array(
        [[[float(k) for k in range(j)] for j in range(i % 4)] for i in range(n)],
        pa.list_(pa.list_(pa.float32())),
    ),
    "fixed list": pa.array(
        [[float(i), 2.0, 3.0] for i in range(n)], pa.list_(pa.float32(), 3)
    ),
    "struct": pa.array(
        maybe([{"a": i, "b": {"c": f"s{i}"}} for i in range(n)]),
        pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.string())]))]),
    ),
    "objects": pa.array(
        [
            [{"box": [float(j)] * 4, "tags": ["x"] * j} for j in range(i % 3)]
            for i in range(n)
        ],
        pa.list_(
            pa.struct(
                [("box", pa.list_(pa.float32())), ("tags", pa.list_(pa.string()))]
            )
        ),
    ),
    "map": pa.array(
        [[(f"k{j}", j) for j in range(i % 3)] for i in range(n)],
        pa.map_(pa.string(), pa.int32()),
    ),
}
t = pa.table(cols)


def w(name, **options):
    pq.write_table(
        t,
        out / f"{name}.parquet",
        row_group_size=25,
        store_schema=False,
        write_statistics=False,
        **options,
    )


w(
    "snappy-v1",
    compression="snappy",
    data_page_version="1.0",
    data_page_size=64,
    write_batch_size=7,
)
w(
    "zstd-v2",
    compression="zstd",
    data_page_version="2.0",
    data_page_size=64,
    write_batch_size=7,
    write_page_checksum=True,
)
w("gzip-plain", compression="gzip", use_dictionary=False)
w(
    "brotli-delta",
    compression="brotli",
    use_dictionary=False,
    data_page_version="2.0",
    column_encoding={
        "int64": "DELTA_BINARY_PACKED",
        "int8": "DELTA_BINARY_PACKED",
        "text": "DELTA_BYTE_ARRAY",
        "binary": "DELTA_LENGTH_BYTE_ARRAY",
        "double": "BYTE_STREAM_SPLIT",
        "fixed": "DELTA_BYTE_ARRAY",
        "bool": "RLE",
    },
)
w("lz4", compression="lz4")
rows = []
for i in range(n):
    r = {k: cols[k][i].as_py() for k in cols if k not in ("nanos", "millis")}
    st = r["struct"] or {"a": 0, "b": {"c": ""}}
    e = {
        "int8": [known(r["int8"])],
        "int8_missing": [int(r["int8"] is None)],
        "uint32": [r["uint32"]],
        "int64": [r["int64"]],
        "float16": [float(r["float16"])],
        "double": [float(known(r["double"]))],
        "double_missing": [int(r["double"] is None)],
        "bool": [int(known(r["bool"]))],
        "bool_missing": [int(r["bool"] is None)],
        "text": [known(r["text"]) or ""],
        "binary": [r["binary"].decode("latin1")],
        "fixed": [r["fixed"].decode()],
        "decimal": [float(r["decimal"])],
        "date": [(r["date"] - dt.date(1970, 1, 1)).days * 86400 * 10**6],
        "nanos": [(1_000_500 * i - 5_000_001) // 1000],
        "millis": [(1_001 * i - 500) * 1000],
        "list": [known(x) for x in r["list"] or []],
        "list_missing": [int(x is None) for x in r["list"] or []],
        "ragged/ragged_flat_values": flat(r["ragged"]),
        "ragged/ragged_row_lengths_0": [len(x) for x in r["ragged"]],
        "fixed list": r["fixed list"],
        "struct.a": [st["a"]],
        "struct.a_missing": [int(r["struct"] is None)],
        "struct.b.c": [st["b"]["c"]],
        "objects/box/ragged_flat_values": flat([o["box"] for o in r["objects"]]),
        "objects/box/ragged_row_lengths_0": [len(o["box"]) for o in r["objects"]],
        "objects/tags/ragged_flat_values": flat([o["tags"] for o in r["objects"]]),
        "objects/tags/ragged_row_lengths_0": [len(o["tags"]) for o in r["objects"]],
        "map/key": [k for k, v in r["map"]],
        "map/value": [v for k, v in r["map"]],
    }
    rows.append(json.dumps(e, ensure_ascii=False))
(out / "examples.jsonl").write_text("\n".join(rows) + "\n")
