"""The recipes: one module each, named in RECIPES and nowhere else.

A module offers PARAMETERS, the tuple of what a user can set, and train(job), which trains, exports
and evaluates. It is imported only when it is asked for.
"""

import importlib
from dataclasses import dataclass
from typing import Any

from trainyard_trainer import parameters
from trainyard_trainer.container import Container, JobError, Stop

RECIPES = {
    "image-classification": "trainyard_trainer.recipes.image_classification",
}

DEFAULT = "image-classification"


@dataclass(frozen=True)
class Job:
    """What a recipe is given."""

    recipe: str
    container: Container
    stop: Stop
    parameters: dict[str, Any]


def run(container: Container, stop: Stop) -> None:
    """Trains with the recipe that the hyperparameter ``recipe`` names."""
    given = container.hyperparameters()
    name = given.pop("recipe", DEFAULT)
    if name not in RECIPES:
        raise JobError(f"unknown recipe {name}: use one of " + ", ".join(sorted(RECIPES)))
    container.check_single_host()
    recipe = importlib.import_module(RECIPES[name])
    recipe.train(Job(name, container, stop, parameters.read(recipe.PARAMETERS, given)))
