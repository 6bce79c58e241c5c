"""Put a method on trial: a verdict per law, in words that say what was done, expected and seen, and what the cause is as a rule."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bench import registry
from bench.contract.laws import LAWS, data, facts, learns, probabilities, settings
from bench.contract.trial import Broken, Trial
from bench.core import JSON, Unsupported
from bench.registry import Spec

Law: TypeAlias = Callable[[Trial], None]
Status: TypeAlias = Literal["pass", "fail", "warning", "declined", "not judged"]
WHATEVER_IT_PREDICTS = {learns, probabilities, facts, settings, data}  # the other laws compare risks, which must be some


@dataclass(frozen=True)
class Verdict:
    """Of one law. did, expected, saw, cause: "" where it was kept; of `declined` and `not judged` saw is the reason."""

    law: str
    says: str
    status: Status
    did: str = ""
    expected: str = ""
    saw: str = ""
    cause: str = ""
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """What was done, expected and seen, and the usual cause; the reason alone where nothing was broken."""
        if self.status in ("declined", "not judged"):
            return self.saw
        if self.status == "pass":
            return ""
        return f"We {self.did}. Expected: {self.expected}. Seen: {self.saw}. Usual cause: {self.cause}"

    def json(self) -> dict[str, JSON]:
        return asdict(self)


def name(law: Law) -> str:
    return law.__name__.replace("_", "-")


def said(law: Law) -> tuple[str, str]:
    """What a law says, and its usual cause."""
    says, _, cause = (" ".join(part.split()) for part in (law.__doc__ or "").partition("\n\n"))
    return says, cause.removeprefix("Usual cause: ")


def judged(spec: Spec, laws: Sequence[Law] = LAWS) -> Iterator[Verdict]:
    """A verdict per law, each as it is found; a law that is broken does not end the trial."""
    trial = Trial(spec)
    broken: dict[Law, Verdict] = {}
    for law in laws:
        why = _unjudged(law, broken)
        verdict = _verdict(law, "not judged", saw=why) if why else judge(trial, law)
        if verdict.status in ("fail", "declined"):
            broken[law] = verdict
        yield verdict


def judge(trial: Trial, law: Law) -> Verdict:
    """Whether a method keeps a law. Whatever it raises breaks the law; Unsupported declines it."""
    began = time.monotonic()
    trial.did, trial.warnings = "", []

    def found(status: Status, did: str = "", expected: str = "", saw: str = "") -> Verdict:
        return _verdict(law, status, did, expected, saw, round(time.monotonic() - began, 2))

    try:
        law(trial)
    except Broken as said:
        return found("fail", said.did, said.expected, said.saw)
    except Unsupported as reason:
        return found("declined", saw=str(reason))
    except (Exception, SystemExit) as error:
        return found("fail", trial.did or "trained it", "no error", _raised(error, registry.file(trial.spec)))
    return found("warning", *trial.warnings[0]) if trial.warnings else found("pass")


def _verdict(law: Law, status: Status, did: str = "", expected: str = "", saw: str = "", seconds: float = 0.0) -> Verdict:
    says, cause = said(law)
    return Verdict(name(law), says, status, did, expected, saw, cause if status in ("fail", "warning") else "", seconds)


def _unjudged(law: Law, broken: dict[Law, Verdict]) -> str:
    """Why a law cannot be judged, after others were broken."""
    if learns in broken:
        return "it declines these patients" if broken[learns].status == "declined" else f"it does not keep {name(learns)}"
    if probabilities in broken and law not in WHATEVER_IT_PREDICTS:
        return f"it does not keep {name(probabilities)}"
    return ""


def _raised(error: BaseException, file: Path) -> str:
    """An exception, and the last line of the method's file that it came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    text: Any = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" + (f" ({file.name}, line {lines[-1]})" if lines else "")
