"""Training on and nothing else: the control for all that is trained on after it was optimised."""

from suite.optimizations.protocol import Optimization


class FineTune(Optimization):
    """The same layers and kernels, trained on."""

    only_trains = True


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the steps of `fine-tune@PARAMETER`."""
    return (FineTune(),) * int(parameter or 0)
