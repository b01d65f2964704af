"""Applying a chain of optimisations to a Keras model."""

from importlib import import_module
from typing import Any

from suite.artifacts.check import UnfitError
from suite.models.spec import FineTune
from suite.optimizations.names import steps
from suite.optimizations.protocol import Held, Optimization
from suite.optimizations.training import TrainingData, fine_tune


def apply(chain: str, model: Any, data: TrainingData | None, how: FineTune) -> Any:
    """Return the optimised model.

    Parameters
    ----------
    chain
        As `prune@0.5+cluster@16`.
    data
        What the model is trained on with after each step; None to apply the steps alone.

    Raises
    ------
    UnfitError
        If a step cannot be done to this model.
    """
    for optimization in _optimizations(chain):
        trains = data is not None and how.epochs > 0
        if optimization.only_trains and not trains:
            raise UnfitError("there is nothing to train it on: no labels, or no epochs")
        given, model = model, optimization.rebuilt(model)
        model.trainable = True
        kernels = kernels_of(model)
        forms = optimization.held([kernel.numpy() for kernel in kernels])
        if model is given and not any(forms) and not optimization.only_trains:
            name = type(optimization).__name__.lower()
            raise UnfitError(f"{name} leaves all of its kernels ({len(kernels)}) as they are")
        held: dict[int, Held] = {
            id(kernel): form for kernel, form in zip(kernels, forms, strict=True) if form
        }
        if data is not None and how.epochs:
            fine_tune(model, held, data, how)
        for kernel, form in zip(kernels, forms, strict=True):
            if form:
                form.advance(1.0)
                # A masked weight below zero is a negative zero, which no encoder takes for nothing.
                kernel.assign(form.kernel() + 0.0)
    return model


def kernels_of(model: Any) -> list[Any]:
    """Return the variables of a model that its layers multiply their inputs with."""
    return [v for v in model.trainable_variables if "kernel" in v.name and len(v.shape) > 1]


def _optimizations(chain: str) -> list[Optimization]:
    made: list[Optimization] = []
    for step in steps(chain):
        module = import_module(f"suite.optimizations.{step.name.replace('-', '_')}")
        made += module.make(step.parameter)
    return made
