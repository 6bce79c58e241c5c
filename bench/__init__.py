"""multitask-bench: which multi-task method helps which patient outcome, by how much, and can you believe it?"""

from pathlib import Path as _Path

__version__ = "0.1.0"

_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "bench").is_dir() and str(_root) not in __path__:
    __path__.append(str(_root))  # a checkout: methods/ and datasets/ stand beside bench/, never importable by themselves
