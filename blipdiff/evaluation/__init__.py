"""Evaluation: metrics that no model has a part in, what is asked of a model, and the report of the answers."""

from blipdiff.evaluation.colour_shape import ColourShapeMetric
from blipdiff.evaluation.contexts import ContextClassifier, ContextTraining, train_context_classifier
from blipdiff.evaluation.ensemble import TOGETHER, Ensemble
from blipdiff.evaluation.page import Shown
from blipdiff.evaluation.protocols import Choice, Trial, choose, diversity, draw_trials, forced_choice, subject_views
from blipdiff.evaluation.report import Line, Report
from blipdiff.evaluation.similarity import METRIC_NAMES, Metric, metric_named, metrics
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.evaluation.views import SubjectView

__all__ = [
    "METRIC_NAMES",
    "TOGETHER",
    "Choice",
    "ColourShapeMetric",
    "ContextClassifier",
    "ContextTraining",
    "Ensemble",
    "Figure",
    "Line",
    "Metric",
    "Report",
    "Shown",
    "SubjectView",
    "Trial",
    "choose",
    "diversity",
    "draw_trials",
    "forced_choice",
    "mean",
    "metric_named",
    "metrics",
    "share",
    "subject_views",
    "train_context_classifier",
]
