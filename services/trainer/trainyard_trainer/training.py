"""The training loop that recipes share: metrics, checkpoints, early stop, SIGTERM.

The weights that were best on the validation data are what is kept, whatever ended the training:
the last epoch, early stop or SIGTERM. A checkpoint is written after each epoch and on SIGTERM, and
a job that starts again goes on from it.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from trainyard_trainer import metrics
from trainyard_trainer.checkpoint import Checkpoints
from trainyard_trainer.container import JobError, Stop
from trainyard_trainer.evaluation import Tally

_LINES_PER_EPOCH = 20
_MOST_STEPS_PER_LINE = 50


class Task(Protocol):
    """What a recipe brings to the loop."""

    model: keras.Model
    optimizer: keras.optimizers.Optimizer

    def step(self, batch: Any) -> tuple[float, int, int]:
        """Trains on one batch; returns its mean loss, how many were right, and of how many."""

    def evaluate(self, enough: Callable[[], bool]) -> Tally:
        """Measures the model on the validation data, or on a part of it once enough() is true."""


@dataclass(frozen=True)
class Plan:
    """How long to train. Patience 0 is no early stop."""

    epochs: int
    steps_per_epoch: int
    patience: int

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


@dataclass
class Progress:
    """Where a training is; all of it is in the checkpoint."""

    step: int = 0
    best_epoch: int = 0
    """The epoch of the kept weights, 0 while there are none."""
    waited: int = 0
    """Epochs since the best one."""
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    """Examples trained on so far by source of the mix, for the recipe."""


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    progress: Progress
    evaluation: Tally
    """Of the kept weights, which the model has now."""


class Loop:
    """One training. Made, resumed from a checkpoint if there is one, then run."""

    def __init__(self, task: Task, plan: Plan, checkpoints: Checkpoints, stop: Stop) -> None:
        self._task = task
        self._plan = plan
        self._checkpoints = checkpoints
        self._stop = stop
        self._best_weights: list[np.ndarray] = []
        self._best: Tally | None = None
        self.progress = Progress()
        self._restore()

    def run(self, batches: Iterator[Any]) -> Outcome | None:
        """Trains to the end, or until SIGTERM. None when there is nothing trained to keep."""
        progress, plan = self.progress, self._plan
        every = min(max(plan.steps_per_epoch // _LINES_PER_EPOCH, 1), _MOST_STEPS_PER_LINE)
        window, epoch_window = _Window(), _Window()
        while progress.step < plan.steps and not progress.stopped_early and not self._stop.asked:
            result = self._task.step(next(batches))
            progress.step += 1
            window.add(*result)
            epoch_window.add(*result)
            epoch_ends = progress.step % plan.steps_per_epoch == 0
            if epoch_ends or progress.step % every == 0:
                self._report_training(window)
                window = _Window()
            if epoch_ends:
                self._end_epoch(epoch_window)
                epoch_window = _Window()
        if progress.step % plan.steps_per_epoch:
            self._stopped_within_epoch(epoch_window)
        if self._best is None:
            return None
        self._task.model.set_weights(self._best_weights)
        return Outcome(progress, self._best)

    @property
    def _epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return math.ceil(self.progress.step / self._plan.steps_per_epoch)

    def _report_training(self, window: "_Window") -> None:
        if not math.isfinite(window.loss):
            raise JobError(
                f"the loss became {window.loss} in step {self.progress.step}: the training "
                "diverged. Set a smaller learning_rate"
            )
        metrics.report(
            self._epoch,
            self.progress.step,
            {
                "train:loss": window.loss,
                "train:accuracy": window.accuracy,
                "train:learning_rate": float(self._task.optimizer.learning_rate),
                "progress:epoch": self.progress.step / self._plan.steps_per_epoch,
                "progress:examples_per_second": window.examples_per_second,
            },
        )

    def _end_epoch(self, window: "_Window") -> None:
        self._validate(window)
        progress, plan = self.progress, self._plan
        if plan.patience and progress.waited >= plan.patience and progress.step < plan.steps:
            progress.stopped_early = True
            print(
                f"early stop: no better epoch since epoch {progress.best_epoch}, "
                f"{progress.waited} epochs ago"
            )
        self._save()

    def _stopped_within_epoch(self, window: "_Window") -> None:
        # The checkpoint comes first: it is what must not be lost if the time runs out.
        self._save()
        self._validate(window)

    def _validate(self, window: "_Window") -> None:
        """Measures the model, and keeps its weights when they are the best so far."""
        tally = self._task.evaluate(lambda: self._stop.used(0.4))
        if tally.examples == 0:
            return
        progress = self.progress
        metrics.report(
            self._epoch,
            progress.step,
            {
                "validation:loss": tally.loss,
                "validation:accuracy": tally.accuracy,
                "progress:epoch": progress.step / self._plan.steps_per_epoch,
            },
        )
        print(
            f"epoch {self._epoch} of {self._plan.epochs}: training loss {window.loss:.4f}, "
            f"accuracy {window.accuracy:.4f}; validation loss {tally.loss:.4f}, "
            f"accuracy {tally.accuracy:.4f} on {tally.examples}; {window.seconds:.1f} s"
        )
        progress.history.append(
            {
                "epoch": progress.step / self._plan.steps_per_epoch,
                "train_loss": window.loss,
                "train_accuracy": window.accuracy,
                "validation_loss": tally.loss,
                "validation_accuracy": tally.accuracy,
                "seconds": window.seconds,
            }
        )
        if self._best is None or tally.loss < self._best.loss:
            self._best = tally
            self._best_weights = self._task.model.get_weights()
            progress.best_epoch, progress.waited = self._epoch, 0
        else:
            progress.waited += 1

    def _save(self) -> None:
        arrays = {
            "weights": self._task.model.get_weights(),
            "optimizer": [variable.numpy() for variable in self._task.optimizer.variables],
            "best": self._best_weights,
        }
        best = self._best.to_json() if self._best else None
        self._checkpoints.save(arrays, {"progress": vars(self.progress), "best": best})

    def _restore(self) -> None:
        restored = self._checkpoints.restore()
        if restored is None:
            return
        arrays, state = restored
        self._task.model.set_weights(arrays["weights"])
        for variable, value in zip(
            self._task.optimizer.variables, arrays["optimizer"], strict=True
        ):
            variable.assign(value)
        self._best_weights = arrays.get("best", [])
        self._best = Tally.from_json(state["best"]) if state["best"] else None
        self.progress = Progress(**state["progress"])
        progress, plan = self.progress, self._plan
        if progress.stopped_early and (not plan.patience or progress.waited < plan.patience):
            progress.stopped_early = False  # The patience is greater now.
        epoch, within = divmod(progress.step, plan.steps_per_epoch)
        where = f"epoch {epoch}"
        if within:
            where += f" and {within} of {plan.steps_per_epoch} steps of the next"
        print(f"resuming after {where}, from the checkpoint of step {progress.step}", flush=True)
        if progress.step >= plan.steps:
            print(f"all {plan.epochs} epochs are done already: only handing the model over")


class _Window:
    """Means over the steps since it was made."""

    def __init__(self) -> None:
        self._loss_sum = 0.0
        self._right = self._examples = 0
        self._start = time.monotonic()

    def add(self, loss: float, right: int, examples: int) -> None:
        self._loss_sum += loss * examples
        self._right += right
        self._examples += examples

    @property
    def loss(self) -> float:
        return self._loss_sum / max(self._examples, 1)

    @property
    def accuracy(self) -> float:
        return self._right / max(self._examples, 1)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def examples_per_second(self) -> float:
        return self._examples / max(self.seconds, 1e-9)
