"""Pictures with boxes and masks: COCO, Pascal VOC and YOLO, as datumaro writes them.

What the shards must hold is what pycocotools, or for the two others datumaro, reads from the files.
"""

import json
import pathlib
import xml.etree.ElementTree as ET

import datumaro
import numpy as np
from datumaro.components.annotation import AnnotationType, Bbox, Mask, Polygon
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image
from pycocotools import mask
from pycocotools.coco import COCO

from formats.images import decoded, pixels
from formats.upload import Example, Upload, tree

CLASSES = ["zebra", "cat", "owl"]  # not in order of the alphabet
HEIGHT, WIDTH = 30, 40


def annotations(i: int, masks: bool) -> list:
    """A box, and if wanted a polygon and a mask with a hole; nothing on every seventh picture."""
    if i % 7 == 6:
        return []
    found = [Bbox(1 + i % 5, 2, 10.5, 8.25, label=i % 3, id=100 * i + 1)]
    if masks:
        corners = [2.0, 2.0, 12.5, 3.0 + i % 4, 8.0, 14.0]
        found.append(Polygon(corners, label=1, id=100 * i + 2, group=2))
        bits = np.zeros((HEIGHT, WIDTH), np.uint8)
        bits[3:9, 4 : 10 + i % 3] = 1
        bits[4, 5] = 0
        found.append(Mask(bits, label=2, id=100 * i + 3, group=3))
    elif i % 2:
        found.append(Bbox(20, 10, 20, 20, label=2, id=100 * i + 2))
    return found


def export(tmp: pathlib.Path, kind: str, masks: bool = False) -> pathlib.Path:
    """Has datumaro write 35 pictures in a format."""
    items = [
        DatasetItem(
            id=f"img{i}",
            subset="val" if i % 5 == 4 else "train",
            media=Image.from_numpy(pixels(i, HEIGHT, WIDTH), ext=".png"),
            annotations=annotations(i, masks),
        )
        for i in range(35)
    ]
    folder = tmp / kind
    datumaro.Dataset.from_iterable(items, categories=CLASSES).export(
        str(folder), kind, save_media=True
    )
    return folder


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """A box in pixels as TFDS has it."""
    return np.array([y0 / HEIGHT, x0 / WIDTH, y1 / HEIGHT, x1 / WIDTH], np.float32)


def same_boxes(example: Example, want: list[tuple[int, np.ndarray]]) -> None:
    objects = example["objects"]
    assert objects["bbox"].shape == (len(want), 4)
    assert objects["label"].tolist() == [label for label, _ in want]
    for got, (_, bbox) in zip(objects["bbox"], want, strict=True):
        np.testing.assert_allclose(got, bbox, atol=2e-6)


def coco(tmp: pathlib.Path) -> Upload:
    folder = export(tmp, "coco_instances", masks=True)
    ids = {1: 7, 2: 1, 3: 90}  # gaps, and not in the order of the list
    left_out, bad_images, count, readers = set(), {}, 0, {}
    for subset in ("train", "val"):
        path = folder / f"annotations/instances_{subset}.json"
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category["id"] = ids[category["id"]]
        for annotation in content["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"]]
            rle = annotation["segmentation"]
            if isinstance(rle, dict) and annotation["id"] % 2:  # packed, as pycocotools writes it
                packed = mask.frPyObjects(rle, *rle["size"])
                annotation["segmentation"] = packed | {"counts": packed["counts"].decode()}
        path.write_text(json.dumps(content))
        readers[subset] = COCO(path)
        # What pycocotools needn't read any more.
        some = content["annotations"][0]
        last = max(image["id"] for image in content["images"])
        content["images"] += [
            {"id": 1000, "file_name": "none.png", "width": WIDTH, "height": HEIGHT},
            {"id": 1001, "file_name": f"cut-{subset}.png", "width": WIDTH, "height": HEIGHT},
        ]
        content["annotations"] += [
            some | {"id": 9001, "category_id": 5},
            some | {"id": 9002, "bbox": [WIDTH + 1, 0, 5, 5]},
            some | {"id": 9003, "bbox": [1, 1, 0, 5]},
            some | {"id": 9004, "image_id": last + 500},
            some | {"id": 9005, "image_id": 1001},
        ]
        count += len(content["annotations"])
        path.write_text(json.dumps(content))
        cut = f"coco/images/{subset}/cut-{subset}.png"
        bad_images[cut] = tree(folder)[f"images/{subset}/img{0 if subset == 'train' else 4}.png"]
        bad_images[cut] = bad_images[cut][:200]
        json_path = f"coco/annotations/instances_{subset}.json"
        left_out |= {
            (cut, 0, "TRUNCATED_IMAGE"),
            (json_path, len(content["images"]) - 1, "MISSING_IMAGE"),
            (json_path, 9001, "UNKNOWN_CATEGORY"),
            (json_path, 9002, "INVALID_BOX"),
            (json_path, 9003, "INVALID_BOX"),
            (json_path, 9004, "MISSING_IMAGE"),
        }
    files = tree(folder, "coco/")
    want = {
        f"coco/images/{subset}/{image['file_name']}": (reader, image)
        for subset, reader in readers.items()
        for image in reader.dataset["images"]
    }
    names = ["cat", "zebra", "owl"]  # in the order of the ids

    def same(example: Example, pair: tuple[COCO, dict]) -> None:
        reader, image = pair
        assert example["image_id"] == image["id"]
        assert np.array_equal(example["image"], decoded(files[example["filename"].decode()]))
        found = reader.imgToAnns[image["id"]]
        label = {c["id"]: names.index(c["name"]) for c in reader.dataset["categories"]}
        same_boxes(
            example,
            [
                (label[a["category_id"]], box(x, y, x + w, y + h))
                for a in found
                for x, y, w, h in [a["bbox"]]
            ],
        )
        objects = example["objects"]
        assert objects["id"].tolist() == [a["id"] for a in found]
        assert objects["is_crowd"].tolist() == [bool(a["iscrowd"]) for a in found]
        np.testing.assert_allclose(objects["area"], [a["area"] for a in found])
        for text, annotation in zip(objects["segmentation"], found, strict=True):
            if not annotation["segmentation"]:
                assert text == b""
                continue
            kept = reader.annToMask(annotation | {"segmentation": json.loads(text)})
            assert np.array_equal(kept, reader.annToMask(annotation))
            assert kept.any()

    return Upload(
        files=files | bad_images,
        want=want,
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("objects/label", names),
        left_out=left_out,
        annotations=count,
        splits=("train", "validation"),
    )


def read_back(folder: pathlib.Path, kind: str) -> dict[str, list[tuple[int, np.ndarray]]]:
    """Returns the boxes that datumaro reads, by the picture's name."""
    dataset = datumaro.Dataset.import_from(str(folder), kind)
    names = [c.name for c in dataset.categories()[AnnotationType.label]]
    return {
        item.id: [
            (names[a.label], a.points) for a in item.annotations if a.type == AnnotationType.bbox
        ]
        for item in dataset
    }


def voc(tmp: pathlib.Path) -> Upload:
    folder = export(tmp, "voc_detection")
    boxes = read_back(folder, "voc")
    files = tree(folder, "VOC2012/")
    count = sum(len(found) for found in boxes.values())
    names = sorted(CLASSES)
    # What datumaro needn't read any more: an object outside, one without a name, and a cut picture.
    path = "VOC2012/Annotations/img0.xml"
    root = ET.fromstring(files[path])
    for change in (("bndbox/xmin", "50"), ("name", "")):
        copy = ET.fromstring(ET.tostring(root.find("object")))
        copy.find(change[0]).text = change[1]
        if change[0] != "name":
            copy.find("bndbox/xmax").text = "60"
        root.append(copy)
    text = ET.tostring(root)
    lines = [text[:m].count(b"\n") + 1 for m in _places(text, b"<object>")]
    files[path] = text
    files["VOC2012/Annotations/cut.xml"] = files["VOC2012/Annotations/img1.xml"]
    files["VOC2012/JPEGImages/cut.png"] = files["VOC2012/JPEGImages/img1.png"][:200]
    files["VOC2012/Annotations/half.xml"] = files["VOC2012/Annotations/img1.xml"][:300]
    files["VOC2012/Annotations/none.xml"] = files["VOC2012/Annotations/img1.xml"].replace(
        b"img1.png", b"none.png"
    )

    def same(example: Example, found: list) -> None:
        assert np.array_equal(example["image"], decoded(files[example["filename"].decode()]))
        # VOC counts pixels from 1, and a box holds its last one; datumaro takes the numbers as
        # they are.
        same_boxes(
            example,
            [
                (names.index(n), box(max(x0 - 1, 0), max(y0 - 1, 0), x1, y1))
                for n, (x0, y0, x1, y1) in found
            ],
        )

    return Upload(
        files=files,
        want={f"VOC2012/JPEGImages/{name}.png": found for name, found in boxes.items()},
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("objects/label", names),
        container="tar",
        left_out={
            (path, lines[-2], "INVALID_BOX"),
            (path, lines[-1], "UNKNOWN_CATEGORY"),
            ("VOC2012/JPEGImages/cut.png", 0, "TRUNCATED_IMAGE"),
            ("VOC2012/Annotations/half.xml", 0, "MALFORMED_FILE"),
            ("VOC2012/Annotations/none.xml", 0, "MISSING_IMAGE"),
            ("VOC2012/labelmap.txt", 0, "NOT_DATA"),  # datumaro's own
        },
        annotations=count + 2 + len(boxes["img1"]),
        splits=("train", "validation"),
    )


def _places(text: bytes, word: bytes) -> list[int]:
    return [i for i in range(len(text)) if text.startswith(word, i)]


def yolo(tmp: pathlib.Path) -> Upload:
    """As Ultralytics has it: images and labels in folders of their own, named by data.yaml."""
    return yolo_of(tmp, "yolo_ultralytics", "images/train/", "labels/train/", "tar.bz2")


def darknet(tmp: pathlib.Path) -> Upload:
    """As Darknet has it: labels beside the images, listed by train.txt, named by obj.names."""
    return yolo_of(tmp, "yolo", "obj_train_data/", "obj_train_data/", "zip")


def yolo_of(tmp: pathlib.Path, kind: str, images: str, labels: str, container: str) -> Upload:
    folder = export(tmp, kind)
    boxes = read_back(folder, "yolo")
    files = tree(folder, "yolo/")
    count = sum(len(found) for found in boxes.values())
    cut, lone = f"yolo/{images}cut.png", f"yolo/{labels}none.txt"
    path = f"yolo/{labels}img0.txt"
    good = len(files[path].splitlines())
    bad = ["7 0.5 0.5 0.1 0.1", "1 1.5 0.5 0.1 0.1", "1 0.5 0.5 x 0.1", "1 0.5 0.5"]
    files[path] = "\n".join([*files[path].decode().splitlines(), *bad]).encode()
    files[cut] = files[f"yolo/{images}img0.png"][:200]
    files[f"yolo/{labels}cut.txt"] = files[lone] = b"0 0.5 0.5 0.1 0.1\n"
    if "yolo/train.txt" in files:
        files["yolo/train.txt"] += f"\ndata/{images}cut.png\n".encode()

    def same(example: Example, found: list) -> None:
        assert np.array_equal(example["image"], decoded(files[example["filename"].decode()]))
        same_boxes(example, [(CLASSES.index(n), box(*points)) for n, points in found])

    return Upload(
        files=files,
        want={p: boxes[pathlib.PurePath(p).stem] for p in files if p.endswith(".png") and p != cut},
        key=lambda example: example["filename"].decode(),
        same=same,
        classes=("objects/label", CLASSES),
        container=container,
        left_out={
            (path, good + 1, "UNKNOWN_CATEGORY"),
            (path, good + 2, "INVALID_BOX"),
            (path, good + 3, "MALFORMED_ROW"),
            (path, good + 4, "MALFORMED_ROW"),
            (cut, 0, "TRUNCATED_IMAGE"),
            (lone, 0, "MISSING_IMAGE"),
            *((p, 0, "NOT_DATA") for p in files if p.endswith("obj.data")),  # paths of Darknet's
        },
        annotations=count + len(bad) + 1,
        splits=("train", "validation"),
    )
