"""What others have written, as a method: a torch module, or a scikit-learn classifier, in a file of five lines.

METHOD = torch_method(Net, width=64)
METHOD = estimator_method(Forest, max_depth=3)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.wrap.estimator import estimator_method
    from bench.wrap.network import torch_method

__all__ = ["estimator_method", "torch_method"]


def __getattr__(name: str) -> object:
    """On demand: a classifier needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'bench.wrap' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module("bench.wrap.network" if name == "torch_method" else "bench.wrap.estimator"), name)
