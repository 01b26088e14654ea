import contextlib
import io
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from conftest import CLASSES, PROJECT, JobFolder, picture, record, records, write_shards

from trainyard_trainer import __main__ as command
from trainyard_trainer import metrics
from trainyard_trainer.container import JobError
from trainyard_trainer.images import Shape
from trainyard_trainer.recipes.image_classification import jitter, network


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One real job on the user's data and two bases, whose labels are in another order."""
    job = JobFolder(tmp_path_factory.mktemp("job") / "ml").with_data(train=48)
    job.with_base("shapes", ("spot", "cloud", "columns", "rows"), 400)
    job.with_base("spots", ("spot", "tree"), 80)
    (job.base / "checkpoints").mkdir()
    job.configure(epochs="4", mix="0.75", learning_rate="0.01")
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        job.run()
    job.log = log.getvalue()
    return job


def test_it_learns_from_the_base_by_label_name(trained):
    # 48 own examples and 4 epochs teach little; a wrong join of the base's labels teaches wrong.
    evaluation = trained.evaluation()
    assert evaluation["accuracy"] > 0.9
    assert evaluation["split"] == "validation"
    assert evaluation["examples"] == 48


def test_the_evaluation_is_consistent(trained):
    evaluation = trained.evaluation()
    matrix = np.array(evaluation["confusion_matrix"])
    assert evaluation["labels"] == list(CLASSES)
    assert matrix.sum() == evaluation["examples"]
    assert evaluation["accuracy"] == matrix.trace() / matrix.sum()
    for position, scores in enumerate(evaluation["per_class"]):
        assert scores["label"] == CLASSES[position]
        assert scores["support"] == matrix[position].sum() == 16
        assert scores["recall"] == matrix[position, position] / 16
        assert 0 <= scores["f1"] <= 1
    best = min(evaluation["history"], key=lambda epoch: epoch["validation_loss"])
    assert evaluation["loss"] == best["validation_loss"]
    assert evaluation["best_epoch"] == best["epoch"]
    assert evaluation["epochs_run"] == 4
    assert not evaluation["stopped_early"]
    assert evaluation["parameters"]["mix"] == 0.75


def test_what_was_trained_on_is_accounted_for(trained):
    evaluation = trained.evaluation()
    own, shapes, spots = evaluation["sources"]
    assert [s["channel"] for s in evaluation["sources"]] == ["train", "shapes", "spots"]
    # An epoch is 48 / (1 - 0.75) examples in 12 batches of 16.
    assert evaluation["steps"] == 4 * 12
    assert sum(s["times_drawn"] for s in evaluation["sources"]) == 4 * 12 * 16
    assert own["examples_used"] == evaluation["train_examples"] == 48
    assert evaluation["base_examples"] == shapes["examples_used"] + spots["examples_used"]
    assert shapes["left_out_labels"] == ["cloud"]
    assert 0 < shapes["left_out_by_label"] <= 100
    assert 200 <= shapes["examples_used"] <= 300
    assert spots["left_out_labels"] == ["tree"]
    assert spots["left_out_by_label"] == spots["examples_used"] == 40


def test_the_models_agree_on_raw_pixels(trained):
    model = trained.container.model
    random = np.random.default_rng(9)
    pixels = np.stack([picture(kind, random) for kind in CLASSES * 20]).astype(np.float32)
    serve = tf.saved_model.load(str(model / "saved_model")).signatures["serving_default"]
    [expected] = serve(tf.constant(pixels)).values()
    expected = expected.numpy()
    interpreter = tf.lite.Interpreter(str(model / "model.tflite"))
    interpreter.allocate_tensors()
    [feed], [fetch] = interpreter.get_input_details(), interpreter.get_output_details()
    assert feed["shape"].tolist() == [1, 16, 16, 1]
    assert feed["dtype"] == np.float32
    for position in range(len(pixels)):
        interpreter.set_tensor(feed["index"], pixels[position : position + 1])
        interpreter.invoke()
        answer = interpreter.get_tensor(fetch["index"])
        np.testing.assert_allclose(answer[0], expected[position], atol=1e-4)
    assert expected.sum(axis=1) == pytest.approx(1, abs=1e-5)
    right = expected.argmax(axis=1) == np.arange(len(pixels)) % 3
    assert right.mean() > 0.9


def test_the_model_describes_itself(trained):
    model = trained.container.model
    description = json.loads((model / "model.json").read_text())
    assert description["recipe"] == "image-classification"
    assert description["input"]["shape"] == [1, 16, 16, 1]
    assert description["input"]["range"] == [0, 255]
    assert description["output"]["shape"] == [1, 3]
    assert all((model / file).exists() for file in description["files"].values())
    assert (model / "labels.txt").read_text() == "rows\ncolumns\nspot\n"


def test_sagemaker_reads_every_metric_from_the_log(trained):
    for name in metrics.NAMES:
        values = [float(value) for value in re.findall(metrics.regex(name), trained.log)]
        assert values, name
        assert all(value >= 0 for value in values), name
    losses = re.findall(metrics.regex("validation:loss"), trained.log)
    assert len(losses) == 4
    epochs = [float(value) for value in re.findall(metrics.regex("progress:epoch"), trained.log)]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 4


def test_the_readme_lists_the_metric_definitions():
    readme = (PROJECT / "README.md").read_text()
    listed = re.findall(r"^\| `(\w+:\w+)` \| `(.+?)` \|", readme, re.MULTILINE)
    assert listed == [(name, metrics.regex(name)) for name in metrics.NAMES]


@pytest.mark.parametrize("place", ["", "/*-test.tfrecord-*"])
def test_evaluate_measures_the_tflite_model(trained, tmp_path, capsys, place):
    names = ("spot", "cloud", "rows", "columns")
    write_shards(tmp_path, "test", [*records(names, 400, 7), record(b"no image", 0)])
    write_shards(tmp_path, "train", records(("rows",), 4, 7))
    (tmp_path / "labels.txt").write_text("\n".join(names))
    model = str(trained.container.model)
    arguments = ["evaluate", "--model", model, "--data", f"{tmp_path}{place}", "--json"]
    assert command.main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] > 0.9
    assert (result["examples"], result["unknown_label"], result["unreadable"]) == (300, 100, 1)


def test_evaluate_without_a_model_says_so(tmp_path, capsys):
    assert command.main(["evaluate", "--model", str(tmp_path), "--data", str(tmp_path)]) == 1
    assert "model.json is missing" in capsys.readouterr().err


def test_bad_images_are_counted_and_never_end_a_job(job):
    content = [*records(CLASSES, 40, 1), record(b"no image", 0), b"no Example"]
    write_shards(job.channel("train"), "train", content)
    content = [*records(CLASSES, 12, 1), record(b"no image", 0)]
    write_shards(job.channel("validation"), "validation", content, 1)
    job.with_base("base", CLASSES, 64).configure(epochs="1", mix="0")
    evaluation = job.run()
    assert evaluation["sources"][0]["unreadable"] == 2
    assert (evaluation["train_examples"], evaluation["base_examples"]) == (40, 0)
    assert (evaluation["examples"], evaluation["unreadable"]) == (12, 1)


def test_a_flipped_bit_in_a_shard_names_it(job):
    job.with_data().configure(epochs="1")
    path = job.channel("train") / "shapes-train.tfrecord-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(JobError, match=rf"shard {path.name} of channel train is corrupt"):
        job.run()


@pytest.mark.parametrize(
    ("hyperparameters", "mend"),
    [
        ({"recipe": "image-segmentation"}, "unknown recipe image-segmentation: .*classification"),
        ({"labels": '["rows"]'}, "takes two"),
        ({"labels": '["rows", "columns"]'}, "labels beyond its 2 class names"),
        ({"learning_rate": "1", "augment": "maybe"}, "parameter augment"),
    ],
)
def test_what_cannot_train_says_what_to_mend(job, hyperparameters, mend):
    job.with_data().configure(epochs="1", **hyperparameters)
    with pytest.raises(JobError, match=mend):
        job.run()


def test_additional_versions_are_mixed_in_by_their_numbers(job, capsys):
    job.with_data(train=48)
    names = ("spot", "cloud", "rows")
    write_shards(job.channel("version-2"), "train", records(names, 150, 6))
    write_shards(job.channel("version-10"), "train", records(("columns", "rows"), 60, 7))
    job.with_base("base", CLASSES, 64)
    given = {"labels_version-2": json.dumps(names), "labels_version-10": '["columns", "rows"]'}
    job.configure(epochs="3", mix="0.2", **given)
    evaluation = job.run()
    printed = capsys.readouterr().out
    assert "channel version-2: 50 of 150 examples are left out" in printed
    assert "cloud" in printed
    own, two, ten, base = evaluation["sources"]
    channels = ["train", "version-2", "version-10", "base"]
    assert [s["channel"] for s in evaluation["sources"]] == channels
    assert [s["base"] for s in evaluation["sources"]] == [False, False, False, True]
    # An epoch is (48 + 100 + 60) / (1 - 0.2) = 260 examples, in 17 batches of 16.
    assert evaluation["steps"] == 3 * 17
    drawn = 3 * 17 * 16
    for source, share in ((own, 48 / 260), (two, 100 / 260), (ten, 60 / 260), (base, 0.2)):
        assert source["times_drawn"] / drawn == pytest.approx(share, abs=0.06), source["channel"]
    assert two["left_out_by_label"] == 50
    assert two["left_out_labels"] == ["cloud"]
    assert evaluation["train_examples"] == 48 + 100 + 60
    assert "labels_version-2" not in evaluation["parameters"]


def test_versions_without_names_and_names_without_versions_say_so(job):
    job.with_data(train=6, validation=6).configure(**{"labels_version-2": '["rows"]'})
    with pytest.raises(JobError, match="labels_version-2 is set, but the job has no channel"):
        job.run()
    write_shards(job.channel("version-2"), "train", records(CLASSES, 6, 1))
    job.configure()
    with pytest.raises(JobError, match="set the parameter labels_version-2"):
        job.run()


def test_a_job_goes_on_from_the_checkpoint_of_another_with_more_epochs(job, capsys):
    job.with_data(train=48, validation=24).configure(epochs="1")
    (job.base / "checkpoints").mkdir()
    assert job.run()["epochs_run"] == 1
    capsys.readouterr()
    job.configure(epochs="2", patience="5")
    evaluation = job.run()
    assert "resuming after epoch 1, from the checkpoint of step 3" in capsys.readouterr().out
    assert [epoch["epoch"] for epoch in evaluation["history"]] == [1, 2]
    job.configure(epochs="2", batch_size="8")
    with pytest.raises(JobError, match=r"another training \(batch_size is 8 here and 16 there\)"):
        job.run()
    job.configure(epochs="2", labels=json.dumps(["rows", "columns", "dot"]))
    with pytest.raises(JobError, match=r"classes is .*dot.* here and .*spot.* there"):
        job.run()


def test_a_missing_validation_channel_is_named(job):
    write_shards(job.channel("train"), "train", records(CLASSES, 6, 1))
    job.configure()
    with pytest.raises(JobError, match="no channel validation: add it"):
        job.run()


def test_the_class_names_may_come_in_a_channel_and_the_base_alone_may_teach(job):
    job.with_data(train=16, validation=6).with_base("base", CLASSES, 64)
    job.config("hyperparameters", {"epochs": "1", "mix": "1"})
    with pytest.raises(JobError, match="class names are missing"):
        job.run()
    job.channel("labels").mkdir()
    (job.channel("labels") / "label.labels.txt").write_text("\n".join(CLASSES))
    evaluation = job.run()
    assert evaluation["labels"] == list(CLASSES)
    assert (evaluation["train_examples"], evaluation["base_examples"]) == (0, 64)


@pytest.mark.parametrize("shape", [Shape(8, 1), Shape(28, 1), Shape(65, 3), Shape(224, 3)])
def test_the_network_fits_any_size(shape):
    model = network(shape, 5)
    assert model(tf.zeros([2, shape.side, shape.side, shape.channels])).shape == (2, 5)
    assert model.count_params() < 4_000_000


def test_jitter_keeps_flat_images_and_moves_others_a_little():
    flat = tf.fill([4, 16, 16, 3], 77.0)
    np.testing.assert_allclose(jitter(flat), flat, atol=1e-3)
    dot = np.zeros((50, 33, 33, 1), np.float32)
    dot[:, 16, 16] = 255
    rows, columns = np.where(jitter(tf.constant(dot)).numpy()[..., 0].max(axis=0) > 0)
    for positions in (rows, columns):
        assert 11 <= positions.min() < 16 < positions.max() <= 21
