"""How good a classifier is: a confusion matrix, and all that follows from it."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainyard_trainer.container import JobError


@dataclass
class Tally:
    """Counts over a run of examples. Rows of the matrix are true classes, columns predicted."""

    confusion: np.ndarray
    loss_sum: float = 0.0
    unreadable: int = 0

    @classmethod
    def empty(cls, classes: int) -> "Tally":
        return cls(np.zeros((classes, classes), np.int64))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Tally":
        return cls(np.array(value["confusion"], np.int64), value["loss_sum"], value["unreadable"])

    def to_json(self) -> dict[str, Any]:
        return {
            "confusion": self.confusion.tolist(),
            "loss_sum": self.loss_sum,
            "unreadable": self.unreadable,
        }

    def add(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """Adds n examples: labels [n], probabilities [n, classes]."""
        np.add.at(self.confusion, (labels, probabilities.argmax(axis=1)), 1)
        of_truth = probabilities[np.arange(len(labels)), labels]
        self.loss_sum += float(-np.log(np.maximum(of_truth, 1e-7)).sum())

    @property
    def examples(self) -> int:
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """The mean cross-entropy in nats."""
        return self.loss_sum / max(self.examples, 1)

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace()) / max(self.examples, 1)

    def report(self, labels: Sequence[str]) -> dict[str, Any]:
        """The evaluation in the form of evaluation.json.

        A class with nothing to divide by (never predicted, or not in the data) scores 0.
        """
        right = self.confusion.diagonal()
        predicted = self.confusion.sum(axis=0)
        support = self.confusion.sum(axis=1)
        precision = right / np.maximum(predicted, 1)
        recall = right / np.maximum(support, 1)
        both = precision + recall
        f1 = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1), 0.0)
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "examples": self.examples,
            "unreadable": self.unreadable,
            "labels": list(labels),
            "confusion_matrix": self.confusion.tolist(),
            "per_class": [
                {
                    "label": label,
                    "precision": float(precision[position]),
                    "recall": float(recall[position]),
                    "f1": float(f1[position]),
                    "support": int(support[position]),
                }
                for position, label in enumerate(labels)
            ],
        }


def evaluate_tflite(model: str, data: str) -> dict[str, Any]:
    """Measures model.tflite of an unpacked model folder on a folder or glob of shards.

    When label names lie beside the shards they are joined to the model's by name; without them
    the labels are taken to be the model's. Raises JobError when there is nothing to measure.
    """
    # Imported here: a training job has no need of the data reader before its recipe does.
    import tensorflow as tf

    from trainyard_trainer import images, shards

    folder = Path(model)
    try:
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        labels = shards.read_labels(folder)
        content = (folder / "model.tflite").read_bytes()
    except FileNotFoundError as error:
        raise JobError(f"{error.filename} is missing: give the unpacked model folder") from error
    _, side, _, channels = description["input"]["shape"]
    shape = images.Shape(side, channels)

    place = Path(data)
    at, pattern = (place, "*.tfrecord-*") if place.is_dir() else (place.parent, place.name)
    source = images.open_measured(at, pattern, labels)

    interpreter = tf.lite.Interpreter(model_content=content, num_threads=os.cpu_count())
    [feed], [fetch] = interpreter.get_input_details(), interpreter.get_output_details()
    tally = Tally.empty(len(labels))
    unknown = batch = 0
    with shards.naming_the_broken({source.channel: source.shards}):
        for rows in images.one_pass(source, shape):
            tally.unreadable += int(rows.unreadable)
            unknown += int(rows.unknown)
            if len(rows.label) == 0:
                continue
            if len(rows.label) != batch:
                batch = len(rows.label)
                interpreter.resize_tensor_input(feed["index"], [batch, side, side, channels])
                interpreter.allocate_tensors()
            interpreter.set_tensor(feed["index"], rows.image.numpy().astype(np.float32))
            interpreter.invoke()
            tally.add(rows.label.numpy(), interpreter.get_tensor(fetch["index"]))
    if tally.examples == 0:
        raise JobError(f"{data} holds no example with a class of the model")
    return {**tally.report(labels), "unknown_label": unknown}
