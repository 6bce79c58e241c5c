"""A fitted model with all it needs to predict new patients: made by `fit`, kept by `save`, taken up again by `load_model`."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import bench
from bench import cells, provenance, registry, trials
from bench.cohorts import again
from bench.cohorts.again import New, Rules
from bench.core import JSON, BenchError, Inputs, Predictor, Task
from bench.registry import Spec
from bench.saved import folder as folders
from bench.saved import rows
from bench.saved.making import Maker
from bench.saved.names import Names, Refused
from bench.saved.rows import Seen
from bench.saved.shape import Shape
from bench.saved.writing import Writer
from bench.store import task_json
from bench.store.files import finite

ARRAYS, STRUCTURE, READING = "arrays.safetensors", "model.json", "reading.json"
SAME, CLOSE = 1e-6, 1e-3  # probabilities of made-up patients, then and now: the same machine's, and another's


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted model. method: its spec. shape: of the inputs it was fitted on. rules: by which tables become inputs; None: none do.

    about: what it was fitted on, for the reader of its manifest. notices: what to know of it, where it was loaded. seen: the training
    rows, by which they are found where the model keeps them; None where it was loaded.
    """

    predictor: Predictor
    method: Spec
    tasks: tuple[Task, ...]
    shape: Shape
    rules: Rules | None
    about: Mapping[str, JSON]
    notices: tuple[str, ...] = ()
    seen: Seen | None = None

    @property
    def columns(self) -> list[str]:
        """Of a prediction: one an outcome."""
        return [f"p:{task.name}" for task in self.tasks]

    def predict(self, patients: "Inputs | pd.DataFrame", tables: Mapping[str, pd.DataFrame] | None = None) -> pd.DataFrame:
        """The risk of every outcome for every row: columns `p:OUTCOME`, behind the patient (and row) column of a table.

        patients: a DataFrame, read as the tables were that the model was fitted on; outcomes may be there and are not looked at. Or
        Inputs. tables: a DataFrame for each series, and for each joined table, by name. `predicted` says what was missing or odd.
        """
        return self.predicted(patients, tables)[0]

    def predicted(
        self, patients: "Inputs | pd.DataFrame", tables: Mapping[str, pd.DataFrame] | None = None
    ) -> tuple[pd.DataFrame, list[str]]:
        """The same, and in words what did not fit."""
        if isinstance(patients, Inputs):
            notices: list[str] = []
            return pd.DataFrame(self._risks(self.shape.fitting(patients, notices)), columns=self.columns), notices
        return self.of_new(again.from_frame(self._rules(), patients, tables or {}, self._channels()))

    def of_tables(self, table: Path, further: Mapping[str, Path]) -> tuple[pd.DataFrame, list[str]]:
        return self.of_new(again.from_files(self._rules(), table, further, self._channels()))

    def of_cohort_file(self, path: Path) -> tuple[pd.DataFrame, list[str]]:
        return self.of_new(again.from_cohort_file(self._rules(), path, self._channels()))

    def of_new(self, new: New) -> tuple[pd.DataFrame, list[str]]:
        notices = [*new.notices]
        risks = self._risks(self.shape.fitting(new.inputs, notices))
        made = {str(column.name): column for column in (new.ids, new.rows) if column is not None}
        return pd.DataFrame({**made, **dict(zip(self.columns, risks.T, strict=True))}), list(dict.fromkeys(notices))

    def _risks(self, inputs: Inputs) -> NDArray[np.float32]:
        return cells.checked_probabilities(self.predictor.predict(inputs), inputs, len(self.tasks))

    def _rules(self) -> Rules:
        if self.rules is None:
            raise BenchError(
                "this model was fitted on tables that share columns' names, so that a new table cannot be told apart: give Inputs"
            )
        return self.rules

    def _channels(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(channels) for name, channels in self.shape.series.items()}

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the model to a new folder: arrays as safetensors, structure as JSON, trees in their libraries' formats; no pickle.

        force: over a model that is there. What was written is read again and tried on made-up patients before the folder is there.
        BenchError for a model that cannot be kept so, with the part that is why.
        """
        place = Path(folder)
        folders.free(place, force)
        inputs = self.shape.made_up()
        try:
            used, risks = _tried(self.predictor, inputs)
        except Exception as error:  # of the method's own
            raise BenchError(
                f"'{self.method.label}' cannot be saved: of made-up patients it says {trials.said(error)}"
            ) from error
        try:
            files, tables = _files(self, used)
            again_ = _made(self.method, files, "cpu")
        except Refused as why:
            raise BenchError(f"'{self.method.label}' cannot be saved: {why}") from None
        kept = self.about.get("kept_rows", 0) if self.seen is None else self.seen.kept(tables)
        files[ARRAYS] = _arrays({**_read_arrays(files[ARRAYS]), "check:risks": risks})
        difference = _difference(again_, inputs, risks)
        if difference > CLOSE:
            raise BenchError(
                f"'{self.method.label}' cannot be saved: read again, it predicts otherwise (by up to {difference:.2g})"
            )
        folders.write(place, _manifest(self, {**self.about, "kept_rows": kept}), files, force)
        return place


def kept_rows(folder: Path) -> int:
    """How many rows of its training patients the model of a folder holds, as far as they are found; see `bench.saved.rows`."""
    return folders.manifest(folder)["about"]["kept_rows"]


def load_model(folder: str | Path, *, method_file: str | Path | None = None, device: str = "cpu") -> Model:
    """The model of a folder that `Model.save` or `bench fit` wrote. Nothing of the folder is run, and no pickle is read.

    method_file: the file of a method that is none of the suite's, where it is not at its old place. `notices` say what is another
    here, such as versions of libraries. BenchError, one line, for a folder that is none of a model, was changed or is damaged, for a method
    that is not there, and where the model no longer predicts what it did.
    """
    manifest, files = folders.read(Path(folder))
    try:
        spec = _spec(manifest["method"], Path(folder), method_file)
        for name in (ARRAYS, STRUCTURE, READING):
            if name not in files:
                raise Refused(f"without {name}")
        reading: Any = json.loads(files[READING])
        shape = Shape.from_json(reading["shape"])
        rules = None if reading["rules"] is None else Rules.from_json(reading["rules"])
        tasks = tuple(_task(one) for one in manifest["outcomes"])
        predictor = _made(spec, files, device)
        held = rows.said(int(manifest["about"].get("kept_rows", 0)))
        told = _other_here(manifest, spec)
        model = Model(predictor, spec, tasks, shape, rules, manifest["about"])
        difference = _difference(predictor, shape.made_up(), _read_arrays(files[ARRAYS])["check:risks"])
    except Refused as why:
        raise BenchError(f"{folder} cannot be loaded: it holds {why}") from None
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RuntimeError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        said = str(error).splitlines()[0][:200] if str(error) else ""
        raise BenchError(f"{folder} holds no model that can be made here: {type(error).__name__}: {said}") from None
    versions = f" The reason may be: {'; '.join(told)}." if told else ""
    if difference > CLOSE:
        raise BenchError(
            f"{folder} no longer predicts what it did when it was saved: by up to {difference:.2g} otherwise.{versions}"
        )
    if difference > SAME:
        told.append(f"made-up patients are predicted otherwise than when it was saved, by up to {difference:.1g}")
    return replace(model, notices=(*held, *told))


def _files(model: Model, used: set[int]) -> tuple[dict[str, bytes], list[NDArray[Any]]]:
    """And the arrays in them that are no weights of networks."""
    writer = Writer(Names(model.method), used)
    root = writer.value(model.predictor, "model")
    structure = {"objects": writer.objects, "model": root}
    reading = {"shape": _shape_json(model.shape), "rules": None if model.rules is None else model.rules.json()}
    files = {**writer.files, STRUCTURE: _json(structure), READING: _json(reading), ARRAYS: _arrays(writer.arrays)}
    return files, [array for name, array in writer.arrays.items() if name not in writer.weights]


def _made(spec: Spec, files: Mapping[str, bytes], device: str) -> Predictor:
    said: Any = json.loads(files[STRUCTURE])
    maker = Maker(Names(spec), _read_arrays(files[ARRAYS]), files, device)
    return maker.whole(said["objects"], said["model"])


def _tried(predictor: Predictor, inputs: Inputs) -> tuple[set[int], NDArray[np.float32]]:
    """Ids of the networks' modules that take part in a prediction; the prediction. What they keep of the last batch is then of nobody."""
    used: set[int] = set()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return used, predictor.predict(inputs)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda module, _: used.add(id(module)))
    try:
        return used, predictor.predict(inputs)
    finally:
        hook.remove()


def _difference(predictor: Predictor, inputs: Inputs, risks: NDArray[Any]) -> float:
    now = cells.checked_probabilities(predictor.predict(inputs), inputs, risks.shape[1])
    return float(np.abs(now - risks).max(initial=0.0))


def _arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError) as error:
        raise Refused(f"arrays that are no safetensors: {error}") from None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {"order": shape.order, "tables": shape.tables, "codes": shape.codes, "series": shape.series, "times": shape.times}


def _manifest(model: Model, about: Mapping[str, JSON]) -> dict[str, JSON]:
    spec = model.method
    code = provenance.code_version(registry.file(spec), *(registry.file(one) for one in _uses(spec)))
    return {
        "method": {**spec.json(), "label": spec.label}, "outcomes": [task_json(task) for task in model.tasks], **code,
        "environment": provenance.environment(), "about": finite(about), "facts": finite(dict(model.predictor.facts)),
    }  # fmt: skip


def _uses(spec: Spec) -> list[Spec]:
    return [registry.parse("methods", name)[0] for name in getattr(registry.method(spec), "uses", ())]


def _other_here(manifest: Mapping[str, Any], spec: Spec) -> list[str]:
    """What is another than where the model was saved."""
    now = provenance.code_version(registry.file(spec), *(registry.file(one) for one in _uses(spec)))
    versions: Any = now["versions"]
    told = [
        f"{name} is {versions.get(name, 'not installed')} here, where the model was saved {version}"
        for name, version in manifest["versions"].items()
        if versions.get(name) != version
    ]
    if manifest["environment"]["bench"] != bench.__version__:
        told.append(f"multitask-bench is {bench.__version__} here, was {manifest['environment']['bench']}")
    if now["code"] != manifest["code"]:
        told.append(f"the code of '{spec.label}' is another here")
    return told


def _spec(said: Mapping[str, Any], folder: Path, method_file: str | Path | None) -> Spec:
    """The method as it is here. A file of the user's is run only if it is the one that the model was fitted with."""
    path, label = str(said["path"]), str(said["label"])
    settings = dict(said["settings"])
    if not path:
        if method_file is not None:
            raise BenchError(f"--method-file is for methods of files, but this model is of '{label}', one of the suite's")
        spec = Spec("methods", str(said["id"]), settings)
        try:
            registry.loaded(spec)
        except BenchError as error:
            raise BenchError(f"{folder} is a model of '{label}', which is not to be had here: {error}") from None
        return spec
    place = Path(path if method_file is None else method_file).expanduser()
    way = f"Give it: --method-file {Path(path).name} (from Python method_file=...)"
    if place.suffix != ".py" or (not place.is_absolute() and method_file is None) or not place.is_file():
        raise BenchError(f"{folder} is a model of '{label}', whose file is not at {place}. {way}")
    if method_file is None and folder.resolve() in place.resolve().parents:
        raise BenchError(f"{folder} names a method's file in its own folder: code is never taken from there")
    found = Spec("methods", place.stem, {}, str(place.resolve()), _sha(place))
    if found.sha256 != said["sha256"]:
        raise BenchError(f"{place} is not the file that the model of {folder} was fitted with: its sha256 is another. {way}")
    return replace(found, settings=settings)


def _sha(place: Path) -> str:
    try:
        return hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError as error:
        raise BenchError(f"{place} cannot be read: {error.strerror or error}") from None


def _task(said: Mapping[str, Any]) -> Task:
    thresholds = said.get("thresholds")
    return Task(
        said["name"], said.get("label", ""), implies=tuple(said.get("implies", ())), competing=said.get("competing", ""),
        thresholds=None if thresholds is None else (float(thresholds[0]), float(thresholds[1])),
    )  # fmt: skip
