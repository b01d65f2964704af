"""Deep compression: prune, share values, and Huffman-code what is left.

Source: Han, Mao and Dally (arXiv 1510.00149). The third step is done to every optimised model, by
`suite.optimizations.codec`; this is the chain whose result it suits.
"""

from suite.optimizations.cluster import Cluster
from suite.optimizations.protocol import Optimization
from suite.optimizations.prune import Prune

SPARSITY = 0.7
VALUES = 16
"""4 bits a weight, before coding."""


def make(parameter: float | None) -> tuple[Optimization, ...]:
    """Return the steps of `deep-compression`."""
    return Prune(SPARSITY), Cluster(VALUES)
