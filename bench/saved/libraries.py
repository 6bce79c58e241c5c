"""What libraries keep in formats of their own: the trees of XGBoost (.ubj), LightGBM (.txt) and CatBoost (.cbm); and scikit-learn's
compiled parts, whose state is arrays.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.saved.names import Refused

SUFFIXES = (".ubj", ".txt", ".cbm")
LEAF = -1


def booster(value: Any) -> tuple[str, bytes] | None:
    """(suffix, content) of a fitted booster; None of anything else."""
    kind = type(value)
    for base in kind.__mro__:
        library, name = base.__module__.partition(".")[0], base.__name__
        if (library, name) == ("xgboost", "Booster"):
            return ".ubj", bytes(value.save_raw(raw_format="ubj"))
        if (library, name) == ("lightgbm", "Booster"):
            return ".txt", value.model_to_string(num_iteration=-1).encode()
        if base.__module__.startswith("catboost.") and name == "CatBoost":
            with tempfile.TemporaryDirectory(prefix="bench-") as work:
                value.save_model(f"{work}/model")  # format cbm
                return ".cbm", Path(work, "model").read_bytes()
    return None


def read_booster(name: str, content: bytes) -> Any:
    """As the library reads it. Refused where it is none of its models."""
    suffix = Path(name).suffix
    try:
        if suffix == ".ubj":
            import xgboost

            return xgboost.Booster(model_file=bytearray(content))
        if suffix == ".txt":
            import lightgbm

            return lightgbm.Booster(model_str=content.decode())
        if suffix == ".cbm":
            import catboost

            return catboost.CatBoost().load_model(blob=content)
    except Exception as error:  # each library has its own
        raise Refused(f"{name}, which its library cannot read: {str(error).splitlines()[0][:200]}") from None
    raise Refused(f"'{name}', which is none of the trees that are known ({', '.join(SUFFIXES)})")


def compiled(value: Any) -> tuple[tuple[Any, ...], Any]:
    """Arguments and state of an object of a compiled class of scikit-learn's."""
    _, args, *rest = value.__reduce__()
    return tuple(args), rest[0] if rest else None


def remake(kind: type[Any], args: tuple[Any, ...], state: Any) -> Any:
    """Refused where a tree's nodes are not what they must be: the library walks them unchecked."""
    if kind.__name__ == "Tree":
        _check(args, state)
    try:
        made = kind(*args)
        if state is not None:
            made.__setstate__(state)
    except (TypeError, ValueError, KeyError) as error:
        raise Refused(f"a {kind.__name__} that the library does not take: {error}") from None
    return made


def _check(args: tuple[Any, ...], state: Any) -> None:
    try:
        columns, classes, outputs = args
        nodes, values, count = state["nodes"], state["values"], state["node_count"]
        left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
        inner = left != LEAF
        place = np.arange(len(nodes))
        whole = (
            len(nodes) == count == len(values) > 0
            and values.shape[1:] == (outputs, int(np.max(classes)))
            and bool(((left[inner] > place[inner]) & (right[inner] > place[inner])).all())
            and bool(((left[inner] < count) & (right[inner] < count)).all())
            and bool(((feature[inner] >= 0) & (feature[inner] < columns)).all())
        )
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise Refused(f"a tree that is none: {error}") from None
    if not whole:
        raise Refused("a tree whose nodes do not make one")
