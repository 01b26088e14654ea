"""Images of every kind by Pillow, and tables of labels, read back by TensorFlow Datasets."""

import csv
import io
import json
import os
import pathlib
import subprocess
import zipfile

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow_datasets as tfds


def convert(converter: pathlib.Path, folder: pathlib.Path, files: dict[str, bytes], *flags: str):
    """Returns the builder, the report and all examples by the end of their path."""
    source, out = folder / "source.zip", folder / "out"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            z.writestr(name, data)
    subprocess.run([converter, source, out, "--max-bad-fraction", "0.5", *flags], check=True)
    builder = tfds.builder_from_directory(out)
    examples = {
        example["filename"].decode(): example | {"split": split}
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }
    return builder, json.loads((out / "report.json").read_text()), examples


def picture(seed: int, mode: str) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    rng = np.random.default_rng(seed)
    x, y, b = np.meshgrid(np.arange(23), np.arange(17), np.arange(bands))
    pixels = (x * 9 + y * 5 * (b + 1) + rng.integers(0, 40, x.shape)) % 256
    image = Image.frombytes(
        mode if mode != "P" else "L", (23, 17), pixels.astype(np.uint8).tobytes()
    )
    return image.quantize(50) if mode == "P" else image


KINDS = {
    "png": ("PNG", ["L", "LA", "P", "RGB", "RGBA"], {}),
    "jpg": ("JPEG", ["L", "RGB", "CMYK"], {}),
    "gif": ("GIF", ["L", "P", "RGB"], {}),
    "bmp": ("BMP", ["1", "L", "P", "RGB", "RGBA"], {}),
    "webp": ("WEBP", ["RGB", "RGBA"], {}),
    "lossless.webp": ("WEBP", ["RGB", "RGBA"], {"lossless": True}),
    "tif": ("TIFF", ["1", "L", "P", "RGB", "RGBA"], {}),
    "lzw.tif": ("TIFF", ["L", "P", "RGB", "RGBA"], {"compression": "tiff_lzw"}),
    "deflate.tiff": ("TIFF", ["RGB"], {"compression": "tiff_adobe_deflate"}),
    "packbits.tiff": ("TIFF", ["RGB"], {"compression": "packbits"}),
    "g4.tiff": ("TIFF", ["1"], {"compression": "group4"}),
}


@pytest.mark.parametrize("validation", [[], ["--full"]], ids=["structure", "full"])
def test_every_kind_of_image(converter, tmp_path, validation):
    files, shown = {}, {}
    for kind, (encoder, modes, options) in KINDS.items():
        for mode in modes:
            image = (
                picture(1, "L").point(lambda v: 255 * (v > 99)).convert("1")
                if mode == "1"
                else picture(len(files), mode)
            )
            out = io.BytesIO()
            image.save(out, encoder, **options)
            name = f"{'ab'[len(files) % 2]}/{mode}.{kind}"
            files[name] = out.getvalue()
            shown[name] = Image.open(out)
    frames = [picture(i, "P") for i in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    files["a/animated.gif"], shown["a/animated.gif"] = out.getvalue(), Image.open(out)

    builder, report, examples = convert(converter, tmp_path, files, *validation)
    assert examples.keys() == files.keys(), report["files"]
    assert builder.info.features["image"].shape == (None, None, 3)
    for name, example in examples.items():
        want = np.asarray(shown[name].convert("RGBA").convert("RGB"), dtype=int)
        difference = np.abs(example["image"].astype(int) - want)
        # TensorFlow's and Pillow's libjpeg may differ by rounding, and their CMYK more than that.
        limit = {"L.jpg": 2, "RGB.jpg": 4, "CMYK.jpg": 20}.get(name[2:], 0)
        assert difference.max() <= limit, name
        assert example["orientation"] == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_kept(converter, tmp_path, kind):
    files = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        out = io.BytesIO()
        picture(orientation, "RGB").save(out, kind, exif=exif)
        files[f"{orientation % 2}/{orientation}.{kind.lower()}"] = out.getvalue()
    _, _, examples = convert(converter, tmp_path, files)
    assert {name: e["orientation"] for name, e in examples.items()} == {
        name: int(name.split("/")[1][0]) for name in files
    }
    for example in examples.values():
        assert example["image"].shape == (17, 23, 3)  # as stored


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    picture(seed, "RGB").save(out, "JPEG")
    return out.getvalue()


def table(rows: list[dict], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def test_table_of_labels(converter, tmp_path):
    names = [f"{i:04}.jpg" for i in range(40)]
    rows = [
        {
            "file_name": name,
            "species": ["wren", "robin", "tit"][i % 3],
            "split": "test" if i % 5 == 0 else "train",
            "weight": "" if i == 7 else i / 4,
            "count": i,
            "note": f"bird, number {i}",
        }
        for i, name in enumerate(names)
    ]
    rows.append(rows[0] | {"file_name": "missing.jpg"})
    files = {"birds/labels.csv": table(rows), "birds/images/unknown.jpg": jpeg(99)}
    files |= {f"birds/images/{name}": jpeg(i) for i, name in enumerate(names)}
    builder, report, examples = convert(converter, tmp_path, files)
    assert builder.info.features["label"].names == ["robin", "tit", "wren"]
    assert builder.info.supervised_keys == ("image", "label")
    assert sorted(examples) == [f"birds/images/{name}" for name in names]
    for i, name in enumerate(names):
        example = examples[f"birds/images/{name}"]
        assert example["label"] == [2, 0, 1][i % 3]
        assert example["weight"] == (0 if i == 7 else i / 4)
        assert example["weight_missing"] == (i == 7)
        assert example["count"] == i
        assert example["note"].decode() == f"bird, number {i}"
        if i % 5 == 0:
            assert example["split"] == "test"
        else:
            assert example["split"] in ("train", "validation")
    assert {(f["path"], f["reason"]) for f in report["files"]} == {
        ("birds/labels.csv", "MISSING_IMAGE"),
        ("birds/images/unknown.jpg", "NOT_IN_TABLE"),
    }


def test_metadata_of_hugging_face(converter, tmp_path):
    files = {}
    for split, count in (("train", 12), ("test", 4)):
        lines = [
            json.dumps({"file_name": f"{i}.jpg", "text": f"caption {i}", "objects": {"id": [i, 2]}})
            for i in range(count)
        ]
        files[f"data/{split}/metadata.jsonl"] = "\n".join(lines).encode()
        files |= {f"data/{split}/{i}.jpg": jpeg(i) for i in range(count)}
    _, _, examples = convert(converter, tmp_path, files)
    assert len(examples) == 16
    assert {e["split"] for n, e in examples.items() if n.startswith("data/test/")} == {"test"}
    example = examples["data/test/3.jpg"]
    assert example["text"] == b"caption 3"
    assert list(example["objects.id"]) == [3, 2]


def test_numbers_to_be_estimated(converter, tmp_path):
    names = [f"{i}.jpg" for i in range(20)]
    rows = [{"id": name[:-4], "age": 20.5 + i} for i, name in enumerate(names)]
    files = {"train.tsv": table(rows, "\t")}
    files |= {f"img/{name}": jpeg(i) for i, name in enumerate(names)}
    builder, _, examples = convert(converter, tmp_path, files)
    assert "label" not in builder.info.features
    assert {n: e["target"] for n, e in examples.items()} == {
        f"img/{name}": 20.5 + i for i, name in enumerate(names)
    }
