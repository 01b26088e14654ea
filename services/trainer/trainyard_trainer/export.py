"""What a trained model is handed over as: SavedModel, TFLite, labels, evaluation, description."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

FORMAT_VERSION = 1
"""Of model.json; raised when a field changes its meaning."""


def write_model(
    folder: Path,
    model: keras.Model,
    labels: Sequence[str],
    evaluation: dict[str, Any],
    description: dict[str, Any],
) -> None:
    """Writes everything that becomes model.tar.gz into the folder.

    The model takes float32 pixels of 0 to 255 and gives one probability a label. The TFLite
    model's input is [1, h, w, c] and may be resized to larger batches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved_model = folder / "saved_model"
    model.export(str(saved_model), format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    (folder / "model.tflite").write_bytes(converter.convert())
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")
    _write_json(folder / "evaluation.json", evaluation)
    _write_json(
        folder / "model.json",
        {
            "format_version": FORMAT_VERSION,
            **description,
            "labels": list(labels),
            "files": {
                "saved_model": "saved_model",
                "tflite": "model.tflite",
                "labels": "labels.txt",
                "evaluation": "evaluation.json",
            },
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        },
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
