"""A model's folder: the manifest, which names every other file with its size and sha256, and has a digest of itself.

Every file is read once, and what is used of it is what was checked. The digests tell damage and edits, not a forger who makes them
anew: whatever a folder says, only data comes out of it, see `bench.saved.names`.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core import JSON, BenchError

MANIFEST = "manifest.json"
KIND = "multitask-bench model"
FORMAT = 1
FILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.(json|safetensors|ubj|txt|cbm)")
LONGEST = 4 << 20  # bytes of a manifest
LARGEST = 16 << 30  # of all files


def free(folder: Path, force: bool) -> None:
    """BenchError unless a model can be written there. force: over a model that is there, never over anything else."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise BenchError(f"a model is saved as a folder, but {folder} is {'a link' if folder.is_symlink() else 'a file'}")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not _is_model(folder):
        raise BenchError(f"a model needs a new or an empty folder, but {folder} holds other files. Name another.")
    if not force:
        raise BenchError(f"{folder} holds a model already. Add --force (from Python force=True) to write over it.")


def _is_model(folder: Path) -> bool:
    """Its manifest says so, and it holds nothing that is no part of a model."""
    try:
        said: Any = json.loads((folder / MANIFEST).read_bytes()[:LONGEST])
    except (OSError, ValueError, RecursionError):
        return False
    plain = all(FILE.fullmatch(one.name) and one.is_file() and not one.is_symlink() for one in folder.iterdir())
    return isinstance(said, dict) and said.get("kind") == KIND and plain


def write(folder: Path, about: Mapping[str, JSON], files: Mapping[str, bytes], force: bool = False) -> None:
    """All or nothing: into a folder beside, which then takes the name."""
    free(folder, force)
    listed: dict[str, JSON] = {name: {"bytes": len(data), "sha256": _sha(data)} for name, data in sorted(files.items())}
    manifest = {"kind": KIND, "format": FORMAT, **about, "files": listed}
    manifest["digest"] = _digest(manifest)
    whole = {**files, MANIFEST: (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".model-", dir=folder.parent))
        try:
            for name, data in whole.items():
                (work / name).write_bytes(data)
            work.chmod(0o755 & ~_mask())
            if folder.is_dir():
                shutil.rmtree(folder)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise BenchError(f"the model cannot be written to {folder}: {error.strerror or error}") from None


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the other files, each as it was written. BenchError, one line, for whatever is not as the manifest says."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise BenchError(f"{folder} {what}. A model is a folder, as `bench fit --out model/` writes it.")
    if not (folder / MANIFEST).exists():
        raise BenchError(f"{folder} holds no model: it has no {MANIFEST}. `bench fit --out model/` writes one.")
    said = manifest(folder)
    listed = _listed(folder, said)
    strange = sorted({one.name for one in folder.iterdir()} - {MANIFEST, *listed})
    if strange:
        raise BenchError(f"{folder} holds '{_shown(strange[0])}', which is no part of the model. Take it away.")
    return said, {name: _checked(folder, name, about) for name, about in listed.items()}


def manifest(folder: Path) -> dict[str, Any]:
    """What a model says of itself. BenchError where it is none, of another format or changed."""
    data = _bytes(folder, MANIFEST, LONGEST)
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{folder / MANIFEST} is damaged: it is no JSON ({str(error)[:100]})") from None
    if not isinstance(said, dict) or said.get("kind") != KIND:
        raise BenchError(f"{folder} holds no model: its {MANIFEST} is of something else")
    if said.get("format") != FORMAT:
        newer = isinstance(said.get("format"), int) and said["format"] > FORMAT
        way = "Update multitask-bench." if newer else "Fit the model again."
        raise BenchError(f"{folder} is of format {_shown(said.get('format'))}, but this version reads format {FORMAT}. {way}")
    if said.get("digest") != _digest({key: value for key, value in said.items() if key != "digest"}):
        raise BenchError(f"{folder / MANIFEST} was changed after the model was saved: its digest is another")
    return said


def _listed(folder: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    listed = said.get("files")
    if not isinstance(listed, dict) or not listed:
        raise BenchError(f"{folder / MANIFEST} names no files")
    total = 0
    for name, about in listed.items():
        if not FILE.fullmatch(name) or name == MANIFEST:
            raise BenchError(f"{folder / MANIFEST} names '{_shown(name)}', which is no name of a file of a model")
        if not isinstance(about, dict) or type(about.get("bytes")) is not int or about["bytes"] < 0:
            raise BenchError(f"{folder / MANIFEST} does not say how large {name} is")
        total += about["bytes"]
    if total > LARGEST:
        raise BenchError(f"a model has {LARGEST >> 30} GB at most, but {folder / MANIFEST} speaks of {total / 2**30:,.0f} GB")
    return listed


def _checked(folder: Path, name: str, about: Mapping[str, Any]) -> bytes:
    data = _bytes(folder, name, about["bytes"])
    if len(data) != about["bytes"]:
        raise BenchError(f"{folder / name} is damaged: it has {len(data):,} bytes where the manifest says {about['bytes']:,}")
    if _sha(data) != about.get("sha256"):
        raise BenchError(f"{folder / name} was changed after the model was saved: its sha256 is another")
    return data


def _bytes(folder: Path, name: str, most: int) -> bytes:
    """The file's content; a link, a pipe or more than it may have is an error before anything of it is read."""
    path = folder / name
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            raise BenchError(f"{path} must be a file, but is {'a link' if stat.S_ISLNK(about.st_mode) else 'none'}")
        if about.st_size > most:
            raise BenchError(f"{path} has {about.st_size:,} bytes where {most:,} at most are expected")
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise BenchError(f"{folder} lacks {name}, which its manifest names: a part of the model is missing") from None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or error}") from None


def _digest(manifest: Mapping[str, JSON]) -> str:
    return _sha(json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _shown(value: object) -> str:
    return " ".join(str(value).split())[:60]
