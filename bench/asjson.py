"""Values as JSON for programs: what NaN, frames, paths and dates become."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from bench.core import JSON


def text(value: Any) -> str:
    """One document, ASCII, with a line a field."""
    return json.dumps(plain(value), indent=1, ensure_ascii=True, allow_nan=False)


def plain(value: Any) -> JSON:
    """Numbers stay numbers; NaN and infinities, which JSON lacks, are null. A frame is a list of objects, a row each; a dataclass or a
    named tuple is an object, any other sequence a list. Whatever else there is becomes its text.
    """
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return [plain(row) for row in value.to_dict("records")]
    if hasattr(value, "tolist"):
        return plain(value.tolist())  # numpy's numbers and arrays
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and (named := getattr(value, "_asdict", None)) is not None:
        return plain(named())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return str(value)
