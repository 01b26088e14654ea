"""The recipes: one module each, named in RECIPES and nowhere else.

A module offers PARAMETERS, the tuple of what a user can set, and train(job), which trains, exports
and evaluates. It is imported only when it is asked for.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Any

from trainyard_trainer import manifests, parameters
from trainyard_trainer.container import Container, JobError, Stop
from trainyard_trainer.parameters import Digests, Names

RECIPES = {
    "image-classification": "trainyard_trainer.recipes.image_classification",
}

DEFAULT = "image-classification"

_VERSION_LABELS = re.compile(r"labels_version-\d+")

MANIFESTS = Digests("manifests")
"""The SHA-256 of the manifest.json of each base dataset that the job is pinned to."""


@dataclass(frozen=True)
class Job:
    """What a recipe is given."""

    recipe: str
    container: Container
    stop: Stop
    parameters: dict[str, Any]
    version_labels: dict[str, tuple[str, ...]]
    """The class names of additional dataset versions, by channel, as far as they were given."""


def version_labels(given: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Takes the parameters ``labels_version-2`` and so on out of what was given."""
    found = [name for name in given if _VERSION_LABELS.fullmatch(name)]
    return {name.removeprefix("labels_"): Names(name).read(given.pop(name)) for name in found}


def run(container: Container, stop: Stop) -> None:
    """Trains with the recipe that the hyperparameter ``recipe`` names."""
    given = container.hyperparameters()
    name = given.pop("recipe", DEFAULT)
    if name not in RECIPES:
        raise JobError(f"unknown recipe {name}: use one of " + ", ".join(sorted(RECIPES)))
    container.check_single_host()
    if (text := given.pop(MANIFESTS.name, None)) is not None:
        manifests.check(container.channels(), MANIFESTS.read(text))
    recipe = importlib.import_module(RECIPES[name])
    labels = version_labels(given)
    values = parameters.read(recipe.PARAMETERS, given)
    recipe.train(Job(name, container, stop, values, labels))
