"""Manifests of base datasets: a job is pinned to the bytes it was made for.

A published base dataset has a manifest.json that lists its shards with their digests. The job names
the SHA-256 of that file, so that a base that was published anew since, or a directory path that
leads elsewhere, is told from the one that was meant.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from trainyard_trainer.container import JobError

FILE = "manifest.json"


def check(channels: Mapping[str, Path], digests: Mapping[str, str]) -> None:
    """Compares the manifest of each channel that has a digest; raises JobError with the mend."""
    for channel, wanted in digests.items():
        if channel not in channels:
            raise JobError(
                f"the parameter manifests names the channel {channel}, which the job doesn't have: "
                f"add the channel, or leave it out of manifests"
            )
        path = channels[channel] / FILE
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            raise JobError(
                f"No such file or directory: {path}. Base dataset {channel} is not where the job "
                "looks for it: check the directory path of its location, or publish it there"
            ) from None
        if found != wanted:
            raise JobError(
                f"base dataset {channel} changed since the job was made (manifest {found} instead "
                f"of {wanted}): publish it again as it was, or make a new job with it as it is now"
            )
