"""The command line: ``python -m trainyard_trainer train | evaluate``.

SIGTERM may come at any time, also while TensorFlow is still loading, and a process that is PID 1
ignores it unless it has a handler. So the handler is installed here, before the slow imports.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
import traceback
import warnings

from trainyard_trainer.container import Container, JobError, Stop, describe


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 success, 1 failure, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m trainyard_trainer",
        description="Trains and measures models; what runs inside Trainyard's training image.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "train",
        help="train as SageMaker's container contract says, under SAGEMAKER_BASE_DIR",
        description="Trains under the directory in SAGEMAKER_BASE_DIR (default /opt/ml).",
    )
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a trained model.tflite on TFRecord shards",
        description="Measures DIR/model.tflite on TFRecord shards it was not trained on.",
    )
    evaluate.add_argument("--model", required=True, help="the unpacked model folder")
    evaluate.add_argument("--data", required=True, help="a folder of shards, or a glob of shards")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)

    sys.stdout.reconfigure(line_buffering=True)  # Log lines must arrive while the job runs.
    return _train() if options.command == "train" else _evaluate(options)


def _load_tensorflow() -> None:
    """Imports TensorFlow with its settings, and without its greetings in the job's log.

    KERAS_HOME points nowhere: a keras.json in the user's home could change the float type or
    the image layout of every model, and Keras would write one there if it found none. The
    greetings are written by C++ to the file descriptor; they are shown if the import fails.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as greetings:
        os.dup2(greetings.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
        except BaseException:
            greetings.seek(0)
            os.write(stderr, greetings.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _train() -> int:
    stop = Stop()
    stop.listen()
    container = Container.from_environment()
    try:
        _load_tensorflow()
        from trainyard_trainer import recipes

        recipes.run(container, stop)
    except Exception as error:
        traceback.print_exc()
        message = describe(error)
        print(f"failed: {message}", file=sys.stderr)
        container.write_failure(message)
        return 1
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    try:
        _load_tensorflow()
        from trainyard_trainer import evaluation

        result = evaluation.evaluate_tflite(options.model, options.data)
    except JobError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"accuracy {result['accuracy']:.4f}, loss {result['loss']:.4f} "
            f"on {result['examples']} examples"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
