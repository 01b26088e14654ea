"""Typed hyperparameters. SageMaker hands every value over as text.

The Go recipe catalogue checks the same ranges before a job is made; they are checked here again
because the trainer also runs in jobs that were not made by it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainyard_trainer.container import JobError

PLATFORM_PREFIX = "sagemaker_"
"""Parameters with this prefix are added by SageMaker's SDK and mean nothing here."""


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high; zero_means also allows 0, with that meaning."""

    name: str
    default: int
    low: int
    high: int
    zero_means: str = ""

    def read(self, text: str) -> int:
        limit = f"a whole number from {self.low} to {self.high}"
        if self.zero_means:
            limit += f", or 0 for {self.zero_means}"
        try:
            value = int(text)
        except ValueError:
            raise _refusal(self.name, text, limit) from None
        if value == 0 and self.zero_means:
            return 0
        if not self.low <= value <= self.high:
            raise _refusal(self.name, text, limit)
        return value


@dataclass(frozen=True)
class Number:
    """A number from low to high."""

    name: str
    default: float
    low: float
    high: float

    def read(self, text: str) -> float:
        limit = f"a number from {self.low:g} to {self.high:g}"
        try:
            value = float(text)
        except ValueError:
            raise _refusal(self.name, text, limit) from None
        if math.isnan(value) or not self.low <= value <= self.high:
            raise _refusal(self.name, text, limit)
        return value


@dataclass(frozen=True)
class Switch:
    """true or false."""

    name: str
    default: bool

    def read(self, text: str) -> bool:
        match text.strip().lower():
            case "true":
                return True
            case "false":
                return False
        raise _refusal(self.name, text, "true or false")


@dataclass(frozen=True)
class Choice:
    """One word of a list."""

    name: str
    default: str
    words: tuple[str, ...]

    def read(self, text: str) -> str:
        if text not in self.words:
            raise _refusal(self.name, text, "one of " + ", ".join(self.words))
        return text


@dataclass(frozen=True)
class Text:
    """A text that isn't empty."""

    name: str
    default: str

    def read(self, text: str) -> str:
        if not text:
            raise _refusal(self.name, text, "a text that isn't empty")
        return text


@dataclass(frozen=True)
class Names:
    """A JSON list of different, non-empty strings; None when it isn't given."""

    name: str
    default: None = None

    def read(self, text: str) -> tuple[str, ...]:
        limit = 'a JSON list of different names of one line each, like ["cat", "dog"]'
        try:
            value = json.loads(text)
        except ValueError:
            raise _refusal(self.name, text, limit) from None
        if (
            not isinstance(value, list)
            or not all(isinstance(name, str) and name and "\n" not in name for name in value)
            or len(set(value)) != len(value)
        ):
            raise _refusal(self.name, text, limit)
        return tuple(value)


@dataclass(frozen=True)
class Digests:
    """A JSON object of SHA-256 digests in hex by name; None when it isn't given."""

    name: str
    default: None = None

    def read(self, text: str) -> dict[str, str]:
        limit = 'a JSON object of SHA-256 digests in hex, like {"digits": "9f86d0…"}'
        try:
            value = json.loads(text)
        except ValueError:
            raise _refusal(self.name, text, limit) from None
        if not isinstance(value, dict) or not all(
            isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)
            for digest in value.values()
        ):
            raise _refusal(self.name, text, limit)
        return value


Parameter = Whole | Number | Switch | Choice | Text | Names | Digests


def read(parameters: Iterable[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """The value of every parameter, from what was given or its default.

    Raises JobError with the name, the limit and the mend; also for a name no parameter has, since
    a mistyped one would otherwise silently train with a default.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known and not name.startswith(PLATFORM_PREFIX):
            raise JobError(
                f"unknown parameter {name}: remove it, or use one of " + ", ".join(sorted(known))
            )
    return {
        name: parameter.read(given[name]) if name in given else parameter.default
        for name, parameter in known.items()
    }


def _refusal(name: str, text: str, limit: str) -> JobError:
    shown = text if len(text) <= 80 else text[:79] + "…"
    return JobError(f"parameter {name} is {shown!r}: set it to {limit}")
