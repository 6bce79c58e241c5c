"""Fitted models: `fit` one on a whole cohort, `Model.save` it, `load_model` it elsewhere, and predict new patients.

Anything fitted can be kept: `of(predictor, spec, rows)` makes a `Model` of a predictor, the spec of its method and the rows it was
fitted on.
"""

from bench.saved import rows
from bench.saved.fitting import fit, of
from bench.saved.folder import free
from bench.saved.model import Model, kept_rows, load_model
from bench.saved.predicting import predict

__all__ = ["Model", "fit", "free", "kept_rows", "load_model", "of", "predict", "rows"]
