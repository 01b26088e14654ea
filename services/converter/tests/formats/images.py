"""Images: in class folders, with a table, as WebDataset and as IDX."""

import io
import json
import pathlib
import struct
import tarfile

import numpy as np
import pandas as pd
import tensorflow as tf
import webdataset
from PIL import Image

from formats.upload import Example, Files, Upload

CLASSES = ["café", "cat", "dog"]


def pixels(seed: int, height: int = 9, width: int = 11, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(seed: int, kind: str = "PNG", **size) -> bytes:
    return encode(Image.fromarray(pixels(seed, **size)), kind)


def turned(seed: int, orientation: int) -> bytes:
    """A JPEG that EXIF says is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(Image.fromarray(pixels(seed)), "JPEG", exif=exif)


def decoded(data: bytes, channels: int = 3) -> np.ndarray:
    """The pixels by Pillow; by TensorFlow those of a JPEG, of which decoders differ."""
    image = Image.open(io.BytesIO(data))
    if image.format == "JPEG":
        return tf.io.decode_jpeg(data, channels=channels).numpy()
    return np.asarray(image.convert({1: "L", 3: "RGB"}[channels])).reshape(
        image.height, image.width, channels
    )


# How Pillow writes each kind, as it is found in the wild.
KINDS = {
    "jpg": lambda seed: picture(seed, "JPEG"),
    "grey.jpeg": lambda seed: picture(seed, "JPEG", channels=1),
    "progressive.JPG": lambda seed: encode(
        Image.fromarray(pixels(seed)), "JPEG", progressive=True, subsampling=0
    ),
    "png": picture,
    "grey.png": lambda seed: picture(seed, channels=1),
    "alpha.png": lambda seed: picture(seed, channels=4),
    "palette.png": lambda seed: encode(Image.fromarray(pixels(seed)).quantize(16), "PNG"),
    "gif": lambda seed: encode(Image.fromarray(pixels(seed)), "GIF"),
    "bmp": lambda seed: picture(seed, "BMP"),
    "webp": lambda seed: encode(Image.fromarray(pixels(seed)), "WEBP", lossless=True),
    "lossy.webp": lambda seed: encode(Image.fromarray(pixels(seed)), "WEBP", quality=60),
    "tif": lambda seed: picture(seed, "TIFF"),
    "lzw.tiff": lambda seed: encode(Image.fromarray(pixels(seed)), "TIFF", compression="tiff_lzw"),
    "deflated.tiff": lambda seed: encode(
        Image.fromarray(pixels(seed)), "TIFF", compression="tiff_adobe_deflate"
    ),
    **{f"turned{o}.jpg": (lambda seed, o=o: turned(seed, o)) for o in range(2, 9)},
}


def class_folders() -> Files:
    return {
        f"photos/{name}/{i}-{copy}.{kind}": make(1000 * label + 100 * copy + i)
        for label, name in enumerate(CLASSES)
        for i, (kind, make) in enumerate(KINDS.items())
        for copy in range(2)
    }


def image_folder(tmp: pathlib.Path) -> Upload:
    del tmp
    good = class_folders()
    bad = {
        "photos/cat/cut.png": (picture(1)[:150], "TRUNCATED_IMAGE"),
        "photos/cat/cut.jpg": (picture(1, "JPEG")[:300], "TRUNCATED_IMAGE"),
        "photos/cat/cut.bmp": (picture(1, "BMP")[:-1], "TRUNCATED_IMAGE"),
        "photos/cat/no.png": (b"hello", "MALFORMED_IMAGE"),
        "photos/cat/empty.png": (b"", "EMPTY_FILE"),
        "photos/dog/phone.heic": (b"\0\0\0\x18ftypheic", "UNSUPPORTED_IMAGE"),
        "photos/stray.png": (picture(2), "NO_CLASS_FOLDER"),
        "photos/README.md": (b"# Photos", "NOT_DATA"),
        "photos/.DS_Store": (b"\0", "SYSTEM_FILE"),
        "__MACOSX/photos/cat/._1.png": (b"\0", "SYSTEM_FILE"),
    }

    def same(example: Example, data: bytes) -> None:
        assert np.array_equal(example["image"], decoded(data))
        name = example["filename"].decode()
        assert CLASSES[example["label"]] == name.split("/")[1]
        _, _, orientation = name.partition("turned")
        assert example["orientation"] == int(orientation.partition(".")[0] or 1)

    return Upload(
        files=good | {path: data for path, (data, _) in bad.items()},
        want=good,
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("label", CLASSES),
        left_out={(path, 0, reason) for path, (_, reason) in bad.items()},
    )


def image_table(tmp: pathlib.Path) -> Upload:
    """Pictures and a metadata.csv that pandas wrote, as Hugging Face's ImageFolder has it."""
    del tmp
    images = {f"birds/images/{i}.png": picture(i) for i in range(40)}
    table = pd.DataFrame(
        {
            "file_name": [f"images/{i}.png" for i in range(40)],
            "species": [["wren", "robin"][i % 2] for i in range(40)],
            "weight": [i + 0.25 if i % 5 else None for i in range(40)],
            "split": [("train", "train", "train", "val", "test")[i % 5] for i in range(40)],
        }
    )
    text = table.to_csv(index=False)
    text += "images/none.png,wren,1,train\nimages/lone.png\nimages/2.png,wren,2,train\n"
    text += "images/cut.png,wren,2,train\n"
    cut = "birds/images/cut.png"
    rest = {cut: picture(3)[:150], "birds/images/spare.png": picture(4)}
    rest["birds/images/lone.png"] = picture(5)
    names = ["robin", "wren"]

    def same(example: Example, row: dict) -> None:
        assert np.array_equal(example["image"], decoded(images["birds/" + row["file_name"]]))
        assert names[example["label"]] == row["species"]
        missing = pd.isna(row["weight"])
        assert example["weight_missing"] == missing
        assert example["weight"] == (0 if missing else np.float32(row["weight"]))

    return Upload(
        files={"birds/metadata.csv": text.encode()} | images | rest,
        want={"birds/" + row["file_name"]: row for row in table.to_dict("records")},
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("label", names),
        container="tar.zst",
        left_out={
            ("birds/metadata.csv", 42, "MISSING_IMAGE"),
            ("birds/metadata.csv", 43, "MALFORMED_ROW"),
            ("birds/metadata.csv", 44, "DUPLICATE_ROW"),
            (cut, 0, "TRUNCATED_IMAGE"),
            ("birds/images/spare.png", 0, "NOT_IN_TABLE"),
            ("birds/images/lone.png", 0, "NOT_IN_TABLE"),
        },
        rows=44,
    )


def web_dataset(tmp: pathlib.Path) -> Upload:
    """A tar of webdataset's own ShardWriter."""
    samples = {
        f"{i:04d}": {
            "__key__": f"{i:04d}",
            "png": Image.fromarray(pixels(i)),
            "cls": i % 3,
            "json": {"i": i, "tags": ["a", "ü"]},
            "txt": f"picture {i} ü",
        }
        for i in range(40)
    }
    with webdataset.ShardWriter(str(tmp / "birds-%06d.tar"), maxcount=1000, verbose=0) as sink:
        for sample in samples.values():
            sink.write(sample)
        sink.write({"__key__": "lone", "png": Image.fromarray(pixels(1)), "txt": "no class"})
        sink.write(samples["0001"] | {"__key__": "cut", "png": picture(1)[:150]})
    (shard,) = tmp.glob("*.tar")
    with tarfile.open(shard) as t:
        files = {m.name: t.extractfile(m).read() for m in t.getmembers()}

    def same(example: Example, sample: dict) -> None:
        assert np.array_equal(example["image"], np.asarray(sample["png"]))
        assert example["label"] == sample["cls"]
        assert example["text"].decode() == sample["txt"]
        assert json.loads(example["json"]) == sample["json"]

    return Upload(
        files=files,
        packed=shard.read_bytes(),
        want=samples,
        key=lambda example: example["sample_key"].decode(),
        same=same,
        classes=("label", ["0", "1", "2"]),
        left_out={
            ("lone.png", 0, "MISSING_PART"),
            ("lone.txt", 0, "MISSING_PART"),
            *((f"cut.{e}", 0, "TRUNCATED_IMAGE") for e in ("png", "cls", "json", "txt")),
        },
    )


def idx_file(values: np.ndarray) -> bytes:
    """IDX as http://yann.lecun.com/exdb/mnist/ describes it."""
    types = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    head = struct.pack(">HBB", 0, types[values.dtype.name], values.ndim)
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return head + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def idx(tmp: pathlib.Path) -> Upload:
    """MNIST's four files, and a fifth that is not whole."""
    del tmp
    rng = np.random.default_rng(1)
    files, want = {}, {}
    for part, count in (("train", 50), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        labels[:10] = range(10)
        files[f"{part}-images-idx3-ubyte"] = idx_file(images)
        files[f"{part}-labels-idx1-ubyte"] = idx_file(labels)
        want |= {i.tobytes(): (i, label) for i, label in zip(images, labels, strict=True)}
    cut = "validation-images-idx3-ubyte"
    files[cut] = idx_file(np.zeros((9, 28, 28), np.uint8))[:-1]

    def same(example: Example, row: tuple) -> None:
        image, label = row
        assert np.array_equal(example["image"][..., 0], image)
        assert example["label"] == label

    return Upload(
        files=files,
        want=want,
        key=lambda example: example["image"].tobytes(),
        same=same,
        classes=("label", [str(i) for i in range(10)]),
        container="tar.gz",
        left_out={(cut, 0, "MALFORMED_FILE")},
        rows=70,
    )
