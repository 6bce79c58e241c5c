"""scikit-learn: any of its classifiers as a method, one model per outcome; boosted trees on histograms unless told otherwise.

Pedregosa et al., "Scikit-learn: Machine Learning in Python", JMLR 12 (2011). `estimator` is the classifier's place under sklearn,
ensemble.HistGradientBoostingClassifier, or its full place in another installed package that keeps scikit-learn's rules,
lightgbm.LGBMClassifier. All other settings are that classifier's parameters, in the same grammar: `bench methods
sklearn:estimator=svm.SVC` lists them. Numbers in a row are written 64+32. A file of your own is no installed package: see
`bench.wrap.estimator_method` for a classifier that stands in one.
Adapter: a classifier that takes missing values gets the columns of tree models, codes as numbers (as sets of categories where it has
`categorical_features`, up to 255 a column); all others those of linear models. One without sample weights gets weighted rows as often
as their weights say. One without probabilities gets them by logistic regression on its scores (Platt) over the validation rows, or
over the training rows where the validation rows hold one class only. Validation rows are used for that, and to stop
histogram boosting (not with early_stopping=false), and are never learned from. joint=true fits one model of all outcomes that are
known in the same rows, where the classifier takes several: one in all for complete labels.
Published: code; of the default, Friedman, Annals of Statistics 29 (2001), with the histograms of LightGBM.
Departures: defaults are scikit-learn's own, also with --quick, but for the default classifier's leaves, of at least 5 rows where it has
20 (with which 40 patients cannot be split). Nothing is searched by --tune. No part of `all`.
Cost: 3 s per cell of surgical (8,450 training rows, one thread) by default, two thirds of lightgbm; else the classifier's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import sklearn
from sklearn.utils.discovery import all_estimators

from bench.core import BenchError
from bench.wrap.estimator import BY_THE_RUN, EstimatorMethod, described

ADAPTER = True


@dataclass(frozen=True, kw_only=True)
class Sklearn(EstimatorMethod):
    """estimator: place of the classifier under sklearn, or in another installed package. joint: one model of all outcomes that are known
    in the same rows, not one an outcome.
    """

    estimator: str = "ensemble.HistGradientBoostingClassifier"

    @classmethod
    def resolved(cls, settings: Mapping[str, Any]) -> type[EstimatorMethod]:
        """The class with the settings of the chosen classifier besides its own."""
        for name in BY_THE_RUN & set(settings):
            raise BenchError(f"'{name}' is no setting: the run decides it, by --seed and --workers. Leave it out.")
        place = str(settings.get("estimator", cls.estimator))
        return described(_found(place), cls, {"min_samples_leaf": 5} if place == cls.estimator else {})


def _found(place: str) -> type[Any]:
    """The class at a dotted place. BenchError for a place where there is none."""
    if place.startswith(f"{sklearn.__name__}."):
        raise BenchError(f"places of scikit-learn are given without 'sklearn.': estimator={place.partition('.')[2]}")
    package, _, name = place.rpartition(".")
    for module in (f"{sklearn.__name__}.{package}", package):
        try:
            return getattr(import_module(module), name)
        except (ModuleNotFoundError, ValueError, AttributeError):
            continue
        except Exception as error:
            raise BenchError(f"estimator={place}: {module} cannot be imported: {type(error).__name__}: {error}") from error
    raise BenchError(f"there is no estimator '{place}'.{_nearest(place)}")


def _nearest(place: str) -> str:
    known = {f"{c.__module__.split('.')[1]}.{name}" for name, c in all_estimators(type_filter="classifier")}
    by_name = {one.rpartition(".")[2].casefold(): one for one in known}
    close = get_close_matches(place.rpartition(".")[2].casefold(), by_name, n=1, cutoff=0.6)
    meant = f" Did you mean '{by_name[close[0]]}'?" if close else ""
    return (
        f"{meant} It is a place under sklearn or in another installed package; of sklearn there are: {', '.join(sorted(known))}."
    )


METHOD = Sklearn
