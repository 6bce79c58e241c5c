"""Where a wrapped class comes from, for the code version of its cells."""

import inspect
from pathlib import Path
from typing import Any


def origin(wrapped: Any) -> dict[str, Any]:
    """packages: its package, told by its version. files: its file, told by its content where it is not installed but being written."""
    found = inspect.getsourcefile(wrapped)
    written = found is not None and "site-packages" not in Path(found).parts
    return {"packages": (wrapped.__module__.partition(".")[0],), "files": (Path(found),) if found and written else ()}
