"""The contract of methods: laws that every one keeps, and `bench check`, which says of any method where it does not.

tests/test_contract.py puts the bundled methods through the same laws.
"""

from bench.contract.elsewhere import another_process
from bench.contract.judge import Law, Verdict, judge, judged, name, said
from bench.contract.laws import LAWS
from bench.contract.screen import line, summary
from bench.contract.trial import Trial

__all__ = ["CHECKED", "LAWS", "Law", "Trial", "Verdict", "another_process", "judge", "judged", "line", "name", "said", "summary"]

CHECKED: tuple[Law, ...] = (*LAWS, another_process)
"""What `bench check` judges. The tests of bundled methods leave the last one out: whole runs in worker processes show it."""
