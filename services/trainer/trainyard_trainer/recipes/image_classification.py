"""Image classification: a convolutional network sized to the images.

It trains on the channel ``train`` together with every base dataset channel, and is measured on the
channel ``validation``, which it never trains on. Channels ``version-2``, ``version-3`` and so on
are more examples of the user's own, joined by the names of their classes.

What an epoch is: each batch takes the share ``mix`` from the base datasets and the rest from the
user's own examples, among them by their numbers, and an epoch is as long as it takes to go once
through the user's. So 4,800 examples and mix 0.5 make an epoch of 9,600, and three epochs use
14,400 examples of the base. The base isn't started over with each epoch: it is gone through to its
end before an example comes a second time.
"""

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from trainyard_trainer import export, images, shards
from trainyard_trainer.checkpoint import Checkpoints
from trainyard_trainer.container import JobError
from trainyard_trainer.evaluation import Tally
from trainyard_trainer.images import Features, Shape, Source
from trainyard_trainer.parameters import Choice, Names, Number, Switch, Text, Whole
from trainyard_trainer.recipes import Job
from trainyard_trainer.training import Loop, Outcome, Plan

PARAMETERS = (
    Names("labels"),
    Text("image_feature", "image"),
    Text("label_feature", "label"),
    Whole("epochs", 5, 1, 1000),
    Whole("batch_size", 64, 1, 4096),
    Number("learning_rate", 0.004, 1e-6, 1.0),
    Whole("image_size", 0, 8, 512, zero_means="the size of the images"),
    Choice("channels", "auto", ("auto", "grey", "rgb")),
    Number("mix", 0.5, 0.0, 1.0),
    Whole("patience", 0, 0, 1000),
    Switch("augment", True),
    Whole("seed", 42, 0, 2**31 - 1),
)

_MAY_CHANGE = ("labels", "image_size", "channels", "epochs", "patience")
"""Parameters that a resumed job need not share with the job before: the last two say only how long
to train, and what the others come to is compared."""

_VERSION = re.compile(r"version-\d+")
"""The channel of another version or dataset of the user's."""

_CHANNELS = {"auto": 0, "grey": 1, "rgb": 3}
_SMALL_SIDE = 48
_WIDTH, _MAX_WIDTH, _TOP_WIDTH = 24, 256, 128
_WEIGHT_DECAY = 1e-4
_NORM_MOMENTUM = 0.9
"""Jobs of a few hundred steps are usual: with Keras's 0.99 the means would hardly have moved."""


def train(job: Job) -> None:
    """Runs the whole job. Raises JobError with what to mend."""
    started = time.monotonic()
    keras.utils.set_random_seed(job.parameters["seed"])
    data = _open_data(job)
    with shards.naming_the_broken({s.channel: s.shards for s in (*data.mix, data.validation)}):
        outcome = _train(job, data)
    if outcome is None:
        print("stopped before the first step: there is no model to save")
        return
    print(f"done in {time.monotonic() - started:.1f} s, best epoch {outcome.progress.best_epoch}")


@dataclass(frozen=True)
class _Data:
    """The job's data. The user's own sources come first in the mix, unless mix is 1."""

    labels: tuple[str, ...]
    mix: tuple[Source, ...]
    weights: tuple[float, ...]
    validation: Source
    epoch_examples: int

    def own(self, position: int) -> bool:
        channel = self.mix[position].channel
        return channel == "train" or bool(_VERSION.fullmatch(channel))


def _open_data(job: Job) -> _Data:
    channels = job.container.channels()
    for name in ("train", "validation"):
        if name not in channels:
            raise JobError(f"the job has no channel {name}: add it, with the shards of that split")
    features = Features(job.parameters["image_feature"], job.parameters["label_feature"])
    labels = job.parameters["labels"] or _labels_in(channels, features.label)
    if len(labels) < 2:
        raise JobError(f"the dataset has the class {labels[0]} only: it takes two to tell apart")
    train_source = images.open_source("train", channels["train"], labels, features)
    validation = images.open_source("validation", channels["validation"], labels, features)
    own = [train_source, *_open_versions(job, channels, labels, features)]
    mix = job.parameters["mix"]
    names = [
        name
        for name in channels
        if name not in ("train", "validation", "labels") and not _VERSION.fullmatch(name)
    ]
    bases = [images.open_base(name, channels[name], labels) for name in names] if mix else []
    if names and not mix:
        print("mix is 0: the base datasets " + ", ".join(names) + " are not used")
    for base in bases:
        if base.left_out:
            print(f"base dataset {base.channel}: {len(base.left_out)} classes are not yours")
    share = mix if bases else 0.0
    own_examples = sum(source.usable for source in own)
    base_examples = sum(base.records for base in bases)
    base_weights = [share * base.records / base_examples for base in bases]
    if share == 1:
        return _Data(labels, tuple(bases), tuple(base_weights), validation, base_examples)
    own_weights = [(1 - share) * source.usable / own_examples for source in own]
    return _Data(
        labels,
        (*own, *bases),
        (*own_weights, *base_weights),
        validation,
        math.ceil(own_examples / (1 - share)),
    )


def _open_versions(
    job: Job, channels: dict[str, Path], labels: tuple[str, ...], features: Features
) -> list[Source]:
    given = job.version_labels
    for name in sorted(given.keys() - channels.keys()):
        raise JobError(f"labels_{name} is set, but the job has no channel {name}: add the channel")
    sources = []
    for name in sorted(filter(_VERSION.fullmatch, channels), key=lambda n: int(n.split("-")[1])):
        names = given.get(name) or shards.read_labels(channels[name], features.label)
        if not names:
            raise JobError(
                f"the class names of channel {name} are missing: set the parameter labels_{name}"
            )
        source = images.open_version(name, channels[name], names, labels, features)
        if source.left_out:
            print(
                f"channel {name}: {source.strangers} of {source.records} examples are left out, "
                "of classes that are not in your dataset: " + ", ".join(source.left_out[:20])
            )
        sources.append(source)
    return sources


def _labels_in(channels: dict[str, Path], feature: str) -> tuple[str, ...]:
    for name in ("train", "labels"):
        if name in channels and (labels := shards.read_labels(channels[name], feature)):
            return labels
    raise JobError(
        "the class names are missing: set the parameter labels, or add a channel named labels "
        f"with the dataset's {feature}.labels.txt"
    )


def _train(job: Job, data: _Data) -> Outcome | None:
    parameters = job.parameters
    sample = next((s for s in data.mix if s.channel == "train"), data.validation)
    shape = images.derive_shape(sample, parameters["image_size"], _CHANNELS[parameters["channels"]])
    for source in (*data.mix, data.validation):
        images.check_readable(source, shape)
    steps = max(math.ceil(data.epoch_examples / parameters["batch_size"]), 1)
    plan = Plan(parameters["epochs"], steps, parameters["patience"])
    for source in data.mix:
        print(f"channel {source.channel}: {source.records} examples", flush=True)
    task = _Task(data, shape, plan, parameters)
    print(
        f"input {shape.side}x{shape.side}x{shape.channels}, {len(data.labels)} classes, "
        f"{task.model.count_params()} weights, {plan.epochs} epochs of {steps} steps",
        flush=True,
    )
    fingerprint = {
        "recipe": job.recipe,
        **{name: value for name, value in parameters.items() if name not in _MAY_CHANGE},
        "classes": data.labels,
        "input": [shape.side, shape.side, shape.channels],
        "weights": [list(weight.shape) for weight in task.model.weights],
        **{f"examples of {s.channel}": s.records for s in (*data.mix, data.validation)},
    }
    loop = Loop(task, plan, Checkpoints(job.container.checkpoints(), fingerprint), job.stop)
    task.drawn = loop.progress.drawn = loop.progress.drawn or task.drawn
    outcome = loop.run(task.batches(parameters["seed"] + loop.progress.step))
    if outcome is None:
        return None
    export.write_model(
        job.container.model,
        task.with_softmax(),
        data.labels,
        _evaluation(job, data, task, outcome),
        _description(job, shape, data),
    )
    return outcome


class _Task:
    """The network, its training step and its examples; see training.Task."""

    def __init__(self, data: _Data, shape: Shape, plan: Plan, parameters: dict[str, Any]) -> None:
        self.plan = plan
        self._data = data
        self._shape = shape
        self._batch_size = parameters["batch_size"]
        self._augment = parameters["augment"]
        self.model = network(shape, len(data.labels))
        self.optimizer = _optimizer(parameters["learning_rate"], plan.steps)
        self.optimizer.build(self.model.trainable_variables)
        self.drawn = [0] * len(data.mix)
        self.unreadable = [0] * len(data.mix)
        self.unknown = [0] * len(data.mix)

    def batches(self, seed: int) -> Iterator[images.Example]:
        """The endless batches of the mix."""
        stream = images.mixed(self._data.mix, self._data.weights, self._shape, seed)
        return iter(stream.batch(self._batch_size).prefetch(4))

    def step(self, batch: images.Example) -> tuple[float, int, int]:
        loss, right = self._train_step(batch.image, batch.label)
        sources = batch.source.numpy()
        for position in range(len(self._data.mix)):
            of_source = sources == position
            self.drawn[position] += int(of_source.sum())
            self.unreadable[position] += int(batch.unreadable.numpy()[of_source].sum())
            self.unknown[position] += int(batch.unknown.numpy()[of_source].sum())
            if self.unknown[position] and self._data.mix[position].channel == "train":
                raise JobError(
                    f"channel train has labels beyond its {len(self._data.labels)} class names: "
                    "the parameter labels must name every class, in the order of the labels"
                )
        return float(loss), int(right), len(sources)

    def evaluate(self, enough: Callable[[], bool]) -> Tally:
        tally = Tally.empty(len(self._data.labels))
        for rows in images.one_pass(self._data.validation, self._shape):
            tally.unreadable += int(rows.unreadable)
            if len(rows.label):
                tally.add(rows.label.numpy(), self._probabilities(rows.image).numpy())
            if enough():
                break
        return tally

    def with_softmax(self) -> keras.Model:
        """The network as it is handed over: pixels in, probabilities out."""
        return keras.Model(self.model.inputs, keras.layers.Softmax()(self.model.outputs[0]))

    @tf.function(reduce_retracing=True)
    def _train_step(self, image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.cast(image, tf.float32)
        if self._augment:
            pixels = jitter(pixels)
        with tf.GradientTape() as tape:
            logits = self.model(pixels, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits)
            loss = tf.reduce_mean(losses)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, tf.math.count_nonzero(tf.argmax(logits, axis=1) == label)

    @tf.function(reduce_retracing=True)
    def _probabilities(self, image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.model(tf.cast(image, tf.float32), training=False))


def network(shape: Shape, classes: int) -> keras.Model:
    """A network from pixels of 0 to 255 to logits, deeper and wider the larger the images are.

    Each stage halves the image until about 7x7 are left. Small images, like digits and icons, fill
    their frame: what is where matters, so a layer over the whole frame ends the network. Larger
    ones are pictures of things that may be anywhere: residual stages see further, and an average
    over the frame ends the network.
    """
    layers = keras.layers
    small = shape.side <= _SMALL_SIDE
    stages = max(round(math.log2(shape.side / 7)), 0)
    pixels = keras.Input((shape.side, shape.side, shape.channels), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    if small:
        x = _convolution(x, _WIDTH)
    else:
        x = _convolution(x, _WIDTH, strides=2)
        stages -= 1
    for stage in range(1, stages + 1):
        width = min(_WIDTH * 2**stage, _MAX_WIDTH)
        x = _convolution(layers.MaxPooling2D()(x), width)
        if not small:
            x = layers.Add()([x, _convolution(x, width)])
    if small:
        x = layers.MaxPooling2D(padding="same")(x)
        x = _convolution(x, _TOP_WIDTH, size=x.shape[1], padding="valid")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(pixels, layers.Dense(classes, name="logits")(x))


def _convolution(x: Any, width: int, size: int = 3, strides: int = 1, padding: str = "same") -> Any:
    layers = keras.layers
    x = layers.Conv2D(width, size, strides, padding, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=_NORM_MOMENTUM)(x)
    return layers.ReLU()(x)


def _optimizer(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    warm_up = min(max(steps // 10, 1), 500)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 10,
        decay_steps=max(steps - warm_up, 1),
        alpha=0.01,
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=_WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def jitter(pixels: tf.Tensor) -> tf.Tensor:
    """Turns, scales and shifts each image of a batch a little.

    Nothing is mirrored: a mirrored letter, digit or road sign is another one.
    """
    count, side = tf.shape(pixels)[0], tf.cast(tf.shape(pixels)[1], tf.float32)
    angle = tf.random.uniform([count], -0.15, 0.15)
    scale = tf.random.uniform([count], 0.92, 1.08)
    shift = tf.random.uniform([2, count], -0.07, 0.07) * side
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    middle = (side - 1) / 2
    zero = tf.zeros([count])
    # The 8 numbers of a projective transform that map output to input pixels about the middle.
    transforms = tf.stack(
        [
            cos,
            -sin,
            middle - cos * middle + sin * middle + shift[0],
            sin,
            cos,
            middle - sin * middle - cos * middle + shift[1],
            zero,
            zero,
        ],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.shape(pixels)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def _evaluation(job: Job, data: _Data, task: _Task, outcome: Outcome) -> dict[str, Any]:
    """evaluation.json; see README.md for what each field means."""
    progress = outcome.progress
    sources = [
        {
            "channel": source.channel,
            "base": not data.own(position),
            "records": source.records,
            "examples_used": min(
                task.drawn[position],
                source.records - task.unreadable[position] - task.unknown[position],
            ),
            "times_drawn": task.drawn[position],
            "unreadable": task.unreadable[position],
            "left_out_by_label": task.unknown[position],
            "left_out_labels": list(source.left_out),
        }
        for position, source in enumerate(data.mix)
    ]
    return {
        "split": "validation",
        **outcome.evaluation.report(data.labels),
        "train_examples": sum(s["examples_used"] for s in sources if not s["base"]),
        "base_examples": sum(s["examples_used"] for s in sources if s["base"]),
        "sources": sources,
        "steps": progress.step,
        "epochs_run": round(progress.step / task.plan.steps_per_epoch, 2),
        "best_epoch": progress.best_epoch,
        "stopped_early": progress.stopped_early,
        "stopped": job.stop.asked,
        "history": progress.history,
        "parameters": {k: v for k, v in job.parameters.items() if k != "labels"},
    }


def _description(job: Job, shape: Shape, data: _Data) -> dict[str, Any]:
    """model.json, as far as it is this recipe's."""
    return {
        "recipe": job.recipe,
        "input": {
            "shape": [1, shape.side, shape.side, shape.channels],
            "dtype": "float32",
            "layout": "NHWC",
            "colour": "grey" if shape.channels == 1 else "RGB",
            "range": [0, 255],
        },
        "preprocessing": "Resize to the input's size, bilinear with antialiasing, without keeping "
        "the aspect ratio. Feed raw pixel values; scaling to the network's range is in the model.",
        "output": {"shape": [1, len(data.labels)], "dtype": "float32", "kind": "softmax"},
    }
