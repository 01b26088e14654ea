"""SageMaker's training container contract: where things are, how to fail, how to be stopped.

Source of the layout: the Amazon SageMaker AI developer guide, "How Amazon SageMaker Provides
Training Information". Nothing here imports TensorFlow, so that it is ready at once.
"""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BASE = "/opt/ml"

FAILURE_LIMIT = 1024
"""SageMaker shows the first 1024 characters of the failure file as the job's FailureReason."""


class JobError(Exception):
    """A failure whose message is written for the user: what is wrong, and how to mend it."""


def describe(error: BaseException) -> str:
    """One line for the user about any error; the traceback goes to the log instead."""
    if isinstance(error, JobError):
        return str(error)
    lines = str(error).strip().splitlines() or [""]
    # TensorFlow's errors from traced code begin with "in user code:" and end with the reason.
    line = lines[-1] if lines[0].endswith(":") else lines[0]
    return f"{type(error).__name__}: {line.strip()}"


class Stop:
    """Remembers that SIGTERM came, and when.

    SageMaker sends SIGTERM, waits 120 s and then kills. Half of that is ours to save and
    evaluate in; the other half is kept for a slow disk and for the upload's start.
    """

    BUDGET_SECONDS = 60.0

    def __init__(self) -> None:
        self._asked_at: float | None = None

    def listen(self) -> None:
        """Takes SIGTERM over. Call it before anything slow, and from the main thread."""
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _signal: int, _frame: object) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            # os.write is safe in a handler; print isn't when it interrupts another print.
            os.write(2, b"SIGTERM: saving the model so far and ending\n")

    @property
    def asked(self) -> bool:
        """Whether the job is to end as soon as it can."""
        return self._asked_at is not None

    def used(self, share: float) -> bool:
        """Whether that share of the time to end in has gone by. Never, before SIGTERM."""
        if self._asked_at is None:
            return False
        return time.monotonic() - self._asked_at > share * self.BUDGET_SECONDS


@dataclass(frozen=True)
class Container:
    """The folders and files of one training job."""

    base: Path

    @classmethod
    def from_environment(cls) -> "Container":
        """SAGEMAKER_BASE_DIR lets several jobs share a host; on SageMaker it isn't set."""
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR") or DEFAULT_BASE))

    @property
    def model(self) -> Path:
        """What is left here becomes model.tar.gz."""
        return self.base / "model"

    def hyperparameters(self) -> dict[str, str]:
        """The job's parameters as sent: text by name."""
        return {name: str(value) for name, value in self._config("hyperparameters").items()}

    def channels(self) -> dict[str, Path]:
        """The folder of every channel by its name, sorted.

        A channel in Pipe mode has no folder but a fifo an epoch, which would have to be read
        in order and once: it is refused.
        """
        data = self.base / "input" / "data"
        config = self._config("inputdataconfig")
        for name, channel in config.items():
            if channel.get("TrainingInputMode") == "Pipe":
                raise JobError(
                    f"channel {name} is in Pipe mode, which this recipe can't read: "
                    "use the input mode File or FastFile"
                )
        names = config or (entry.name for entry in data.glob("*") if entry.is_dir())
        return {name: data / name for name in sorted(names)}

    def check_single_host(self) -> None:
        """Refuses a job of several instances, whose models would overwrite each other."""
        hosts = self._config("resourceconfig").get("hosts") or ["algo-1"]
        if len(hosts) > 1:
            raise JobError(
                f"the job has {len(hosts)} instances, but this recipe trains on one: "
                "set the instance count to 1 and take a larger instance type"
            )

    def checkpoints(self) -> Path | None:
        """Where checkpoints go, or None when the job was made without them.

        LocalPath names a place in the container; under another base directory it lies there.
        """
        local = self._config("checkpointconfig").get("LocalPath")
        if not local:
            folder = self.base / "checkpoints"
            return folder if folder.is_dir() else None
        if Path(local).is_relative_to(DEFAULT_BASE):
            return self.base / Path(local).relative_to(DEFAULT_BASE)
        return Path(local)

    def write_failure(self, message: str) -> None:
        """Leaves the reason where SageMaker looks for it, cut to what it shows."""
        if len(message) > FAILURE_LIMIT:
            message = message[: FAILURE_LIMIT - 1] + "…"
        path = self.base / "output" / "failure"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(message, encoding="utf-8")

    def _config(self, name: str) -> dict:
        path = self.base / "input" / "config" / f"{name}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise JobError(f"{path} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise JobError(f"{path} must hold a JSON object")
        return content
