"""Every bundled method keeps the laws of `bench.contract`. A new file in methods/ is tested the moment it exists.

A method that declines flat outcomes is tested on nested ones; one that declines both has said why, and is done. The floor of
the table (fact `floor`) predicts one number for all and is excused from telling patients apart.
"""

from functools import cache

import pytest

from bench import contract, registry
from bench.contract import Law, Trial
from bench.core import Unsupported

METHODS = registry.ids("methods")
# The columns are independent: without labels nothing says which of them to keep
WEAK = {("dense_features", "planted-signal")}


@cache
def trial(method: str) -> Trial | str:
    """One quick fit per method, shared by the laws that only look at it; the reason where it takes no such outcomes."""
    found = Trial(registry.parse("methods", method)[0])
    try:
        assert found.base
    except Unsupported as declined:
        return str(declined)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("law", contract.LAWS, ids=contract.name)
def test_the_law_is_kept(law: Law, method: str) -> None:
    found = trial(method)
    if isinstance(found, str):
        assert "needs " in found, f"{method}: a decline must say what is needed, but says '{found}'"
        assert "\n" not in found, f"{method}: a decline is one line, but is '{found}'"
        pytest.skip(f"{method} {found}")
    verdict = contract.judge(found, law)
    allowed = ("pass", "warning") if (method, verdict.law) in WEAK else ("pass",)
    assert verdict.status in allowed, f"{method}: {verdict.words}"
