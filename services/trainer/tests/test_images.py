import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import CLASSES, record, records, write_shards

from trainyard_trainer import images, shards
from trainyard_trainer.container import JobError
from trainyard_trainer.images import Shape

GREY = Shape(16, 1)


def png(height, width, channels=1, value=100):
    return tf.io.encode_png(np.full((height, width, channels), value, np.uint8)).numpy()


def read(source, shape=GREY):
    rows = list(images.one_pass(source, shape))
    return (
        [int(label) for row in rows for label in row.label],
        sum(int(row.unreadable) for row in rows),
        sum(int(row.unknown) for row in rows),
    )


def test_every_record_is_read_once_in_order(tmp_path):
    write_shards(tmp_path, "train", records(CLASSES, 200, 1), shards=3)
    source = images.open_source("train", tmp_path, CLASSES)
    labels, unreadable, unknown = read(source)
    assert source.records == len(labels) == 200
    assert np.bincount(labels).tolist() == [67, 67, 66]
    assert (unreadable, unknown) == (0, 0)


def test_what_does_not_decode_is_left_out_and_counted(tmp_path):
    content = records(CLASSES, 150, 1)
    content[5] = record(b"no image", 0)
    content[70] = record(content[70][:40], 1)
    content[71] = b"\xff no Example"
    content[72] = tf.train.Example().SerializeToString()
    # A whole chunk of which nothing is left.
    content[80:144] = [record(b"", 0)] * 64
    write_shards(tmp_path, "train", content, shards=1)
    labels, unreadable, _ = read(images.open_source("train", tmp_path, CLASSES))
    assert unreadable == 68
    assert len(labels) == 82


def test_features_may_have_other_names(tmp_path):
    feature = {
        "img": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(16, 16)])),
        "kind": tf.train.Feature(int64_list=tf.train.Int64List(value=[2])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    write_shards(tmp_path, "train", [example] * 3, shards=1)
    source = images.open_source("train", tmp_path, CLASSES, images.Features("img", "kind"))
    assert images.derive_shape(source, 0, 0) == GREY
    assert read(source) == ([2, 2, 2], 0, 0)


def test_labels_join_by_name_and_strangers_are_counted(tmp_path):
    names = ("spot", "cloud", "rows", "tree")
    write_shards(tmp_path, "train", records(names, 40, 1))
    (tmp_path / "label.labels.txt").write_text("\n".join(names))
    source = images.open_base("base", tmp_path, CLASSES)
    labels, _, unknown = read(source)
    assert source.join == (2, -1, 0, -1)
    assert source.left_out == ("cloud", "tree")
    assert np.bincount(labels, minlength=3).tolist() == [10, 0, 10]
    assert unknown == 20


def test_a_version_counts_its_strangers_at_once(tmp_path):
    names = ("spot", "cloud", "rows")
    content = [*records(names, 299, 1), b"no Example", record(b"", 7)]
    write_shards(tmp_path, "train", content)
    source = images.open_version("version-2", tmp_path, names, CLASSES)
    assert source.left_out == ("cloud",)
    # 100 clouds and one label beyond the names; what doesn't parse is found out later.
    assert (source.records, source.strangers, source.usable) == (301, 101, 200)
    assert images.open_version("version-2", tmp_path, ("spot", "rows"), CLASSES).strangers == 0
    with pytest.raises(JobError, match=r"additional dataset version-2 shares no class.*tree"):
        images.open_version("version-2", tmp_path, ("tree",), CLASSES)


def test_counting_strangers_names_a_corrupt_shard(tmp_path):
    paths = write_shards(tmp_path, "train", records(("spot", "cloud"), 40, 1))
    content = bytearray(paths[1].read_bytes())
    content[len(content) // 2] ^= 1
    paths[1].write_bytes(content)
    with pytest.raises(JobError, match=f"shard {paths[1].name} of channel version-2 is corrupt"):
        images.open_version("version-2", tmp_path, ("spot", "cloud"), CLASSES)


def test_a_base_without_a_common_class_is_refused(tmp_path):
    write_shards(tmp_path, "train", records(CLASSES, 4, 1))
    with pytest.raises(JobError, match=r"no label names: put a file labels\.txt"):
        images.open_base("base", tmp_path, CLASSES)
    (tmp_path / "labels.txt").write_text("Rows\nColumns\nSpot\n")
    with pytest.raises(JobError, match=r"shares no class.*Rows.*rows.*Rename"):
        images.open_base("base", tmp_path, CLASSES)


def test_a_base_says_in_its_features_what_to_read(tmp_path):
    feature = {
        "photo": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(16, 16)])),
        "kind": tf.train.Feature(int64_list=tf.train.Int64List(value=[2])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    write_shards(tmp_path, "train", [example] * 3, shards=1)
    (tmp_path / "kind.labels.txt").write_text("\n".join(CLASSES))
    kinds = {"photo": "image_feature.Image", "kind": "class_label_feature.ClassLabel"}
    features = {
        name: {"pythonClassName": f"tensorflow_datasets.core.features.{kind}"}
        for name, kind in {**kinds, "file": "text_feature.Text"}.items()
    }
    (tmp_path / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    source = images.open_base("base", tmp_path, CLASSES)
    assert source.features == images.Features("photo", "kind")
    assert read(source) == ([2, 2, 2], 0, 0)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"featuresDict": {"features": {"image": 1}}}'])
def test_a_base_whose_features_say_nothing_has_the_usual_ones(tmp_path, text):
    write_shards(tmp_path, "train", records(CLASSES, 4, 1))
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    (tmp_path / "features.json").write_text(text)
    assert images.open_base("base", tmp_path, CLASSES).features == images.USUAL


def test_a_source_of_nothing_usable_is_refused_rather_than_waited_for(tmp_path):
    write_shards(tmp_path, "train", [record(b"no image", 0)] * 3)
    source = images.open_source("train", tmp_path, CLASSES)
    with pytest.raises(JobError, match="no usable example"):
        images.check_readable(source, GREY)
    with pytest.raises(JobError, match="no image that can be read"):
        images.derive_shape(source, 0, 0)


@pytest.mark.parametrize("mix", [0.2, 0.8])
def test_the_mix_is_the_share_of_the_base(tmp_path, mix):
    sources = two_sources(tmp_path)
    stream = images.mixed(sources, (1 - mix, mix), GREY, seed=1).take(3000)
    of_base = np.mean([int(example.source) for example in stream])
    assert of_base == pytest.approx(mix, abs=0.03)


def test_the_same_seed_gives_the_same_stream(tmp_path):
    def first(seed):
        stream = images.mixed(two_sources(tmp_path), (0.5, 0.5), GREY, seed).batch(300)
        batch = next(iter(stream))
        return batch.image.numpy().tobytes() + batch.source.numpy().tobytes()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_a_base_is_gone_through_before_an_example_comes_again(tmp_path):
    sources = two_sources(tmp_path)
    seen = [
        example.image.numpy().tobytes()
        for example in images.mixed(sources, (0.5, 0.5), GREY, 1).take(300)
        if example.source == 1
    ]
    assert len(set(seen)) == len(seen)


def test_the_mix_counts_what_it_left_out_once(tmp_path):
    content = [*records(CLASSES, 60, 1), record(b"no image", 0)]
    write_shards(tmp_path, "train", content, shards=1)
    source = images.open_source("train", tmp_path, CLASSES)
    stream = images.mixed([source], [1.0], GREY, 1).take(200)
    assert sum(int(example.unreadable) for example in stream) == 1


def two_sources(folder):
    write_shards(folder / "train", "train", records(CLASSES, 60, 1))
    write_shards(folder / "base", "train", records(CLASSES, 240, 2))
    (folder / "base" / "labels.txt").write_text("\n".join(CLASSES))
    return (
        images.open_source("train", folder / "train", CLASSES),
        images.open_base("base", folder / "base", CLASSES),
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([png(28, 28)] * 3, Shape(28, 1)),
        ([png(28, 20), png(30, 40), png(90, 90)], Shape(40, 1)),
        ([png(900, 500)], Shape(224, 1)),
        ([png(4, 4)], Shape(8, 1)),
        ([png(32, 32, 3)], Shape(32, 1)),
        (
            [
                png(32, 32),
                tf.io.encode_jpeg(
                    np.eye(32 * 3).reshape(-1)[: 32 * 32 * 3].reshape(32, 32, 3).astype(np.uint8)
                    * 255
                ).numpy(),
            ],
            Shape(32, 3),
        ),
    ],
)
def test_the_input_follows_the_images(tmp_path, files, expected):
    write_shards(tmp_path, "train", [record(file, 0) for file in files], shards=1)
    source = images.open_source("train", tmp_path, CLASSES)
    assert images.derive_shape(source, 0, 0) == expected
    assert images.derive_shape(source, 64, 3) == Shape(64, 3)


@pytest.mark.parametrize("shape", [Shape(16, 1), Shape(16, 3), Shape(40, 3)])
def test_any_image_fits_the_input(tmp_path, shape):
    files = [
        png(16, 16, 1),
        png(16, 16, 2),
        png(33, 9, 3),
        png(16, 16, 4),
        tf.io.encode_png(np.full((16, 16, 1), 100 * 257, np.uint16)).numpy(),
        tf.io.encode_jpeg(np.full((50, 70, 3), 100, np.uint8)).numpy(),
        tf.io.encode_jpeg(np.full((20, 20, 1), 100, np.uint8)).numpy(),
    ]
    write_shards(tmp_path, "train", [record(file, 0) for file in files], shards=1)
    [rows] = images.one_pass(images.open_source("train", tmp_path, CLASSES), shape)
    assert rows.image.shape == (7, shape.side, shape.side, shape.channels)
    assert np.abs(rows.image.numpy().astype(int) - 100).max() <= 2


class TestShards:
    def test_none(self, tmp_path):
        with pytest.raises(JobError, match=r"channel train holds no TFRecord shard.*S3 prefix"):
            shards.find("train", tmp_path)

    def test_only_empty_ones(self, tmp_path):
        write_shards(tmp_path, "validation", [])
        with pytest.raises(JobError, match="shards of channel validation are empty: convert"):
            images.open_source("validation", tmp_path, CLASSES)

    def test_a_missing_one_is_named(self, tmp_path):
        paths = write_shards(tmp_path, "train", records(CLASSES, 9, 1), shards=3)
        paths[1].unlink()
        with pytest.raises(JobError, match=r"lacks 1 of the 3 .*tfrecord-00001-of-00003"):
            shards.find("train", tmp_path)

    def test_the_preferred_split_hides_the_others(self, tmp_path):
        train = write_shards(tmp_path, "train", records(CLASSES, 4, 1))
        test = write_shards(tmp_path, "test", records(CLASSES, 4, 1))
        assert list(shards.find("base", tmp_path, prefer="train")) == train
        assert list(shards.find("base", tmp_path, prefer="test")) == test
        assert len(shards.find("base", tmp_path)) == 4

    def test_beyond_the_limit_the_count_is_estimated(self, tmp_path):
        paths = write_shards(tmp_path, "train", records(CLASSES, 300, 1), shards=1)
        assert shards.count("train", paths) == 300
        assert shards.count("train", paths, limit=50) == pytest.approx(300, rel=0.1)

    @pytest.mark.parametrize("keep", [-1, -100, 5])
    def test_a_cut_shard_is_named(self, tmp_path, keep):
        paths = write_shards(tmp_path, "train", records(CLASSES, 4, 1))
        paths[1].write_bytes(paths[1].read_bytes()[:keep])
        with pytest.raises(JobError, match=f"shard {paths[1].name} .*is corrupt.*again"):
            shards.count("train", paths)
