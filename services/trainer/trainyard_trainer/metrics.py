"""Metrics as log lines. SageMaker reads them by the regular expressions of the job's
MetricDefinitions; README.md lists them, and a test keeps the list and the lines together.
"""

NAMES = (
    "train:loss",
    "train:accuracy",
    "train:learning_rate",
    "validation:loss",
    "validation:accuracy",
    "progress:epoch",
    "progress:examples_per_second",
)


def regex(name: str) -> str:
    """The MetricDefinition's Regex of a metric; group 1 is the value. Valid in Python and RE2."""
    return rf"\[metric\].* {name}=([-+.0-9eE]+)"


def report(epoch: int, step: int, values: dict[str, float]) -> None:
    """Prints one line. The epoch counts from 1; the step counts over the whole job, from 1."""
    shown = " ".join(f"{name}={value:.6g}" for name, value in values.items())
    print(f"[metric] epoch={epoch} step={step} {shown}", flush=True)
