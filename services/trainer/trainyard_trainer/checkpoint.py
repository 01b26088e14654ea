"""Checkpoints: one file, replaced whole, from which a killed job goes on.

SageMaker copies the folder to S3 all the time, also while it is written, and restores it when a
job starts again. One file that only ever appears complete can't be copied half done and half new.
"""

import contextlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from trainyard_trainer.container import JobError

_FILE = "checkpoint.npz"
_STATE = "state"

Arrays = dict[str, list[np.ndarray]]


class Checkpoints:
    """Saves and restores groups of arrays with a JSON-able state; a None folder does neither."""

    def __init__(self, folder: Path | None, fingerprint: dict[str, Any]) -> None:
        """The fingerprint is what must be equal for a checkpoint to fit the job."""
        self._folder = folder
        self._fingerprint = json.loads(json.dumps(fingerprint))

    def save(self, arrays: Arrays, state: dict[str, Any]) -> None:
        """Replaces the checkpoint; it is on disk when this returns."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {
            f"{group}/{position}": array
            for group, members in arrays.items()
            for position, array in enumerate(members)
        }
        header = {"fingerprint": self._fingerprint, "state": state}
        content[_STATE] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        temporary = self._folder / f".{_FILE}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, **content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / _FILE)

    def restore(self) -> tuple[Arrays, dict[str, Any]] | None:
        """The last checkpoint, or None when there is none, or none that can be read.

        Raises JobError when it is of another training.
        """
        if self._folder is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            try:
                with np.load(self._folder / _FILE, allow_pickle=False) as content:
                    header = json.loads(content[_STATE].tobytes())
                    arrays: Arrays = {}
                    for name in content.files:
                        if name != _STATE:
                            # savez keeps the order in which the arrays were given.
                            arrays.setdefault(name.split("/")[0], []).append(content[name])
            except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(f"the checkpoint can't be read ({error}): starting from the beginning")
                return None
            self._check_fits(header["fingerprint"])
            return arrays, header["state"]
        return None

    def _check_fits(self, other: dict[str, Any]) -> None:
        """A job that was to go on must not begin anew unasked, for that is paid for twice."""
        mine = self._fingerprint
        names = [n for n in {**mine, **other} if mine.get(n) != other.get(n)]
        if not names:
            return
        listed = "; ".join(
            f"{name} is {_shown(mine.get(name))} here and {_shown(other.get(name))} there"
            for name in names[:5]
        )
        raise JobError(
            f"the checkpoint in {self._folder} is of another training ({listed}): "
            "make the job as it was, or give it an empty checkpoint location to begin anew"
        )


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
