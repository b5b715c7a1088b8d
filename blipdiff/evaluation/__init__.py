"""Evaluation: judges that no model has a part in, what is asked of a model, and the report of the answers."""

from blipdiff.evaluation.colour_shape import ColourShapeJudge
from blipdiff.evaluation.contexts import ContextJudge, ContextTraining, train_context_judge
from blipdiff.evaluation.panel import TOGETHER, Panel
from blipdiff.evaluation.protocols import Choice, Trial, choose, diversity, draw_trials, forced_choice, subject_views
from blipdiff.evaluation.report import Line, Report, Shown
from blipdiff.evaluation.similarity import JUDGE_NAMES, Judge, judge_named, judges
from blipdiff.evaluation.statistics import Figure, mean, share
from blipdiff.evaluation.views import SubjectView

__all__ = [
    "JUDGE_NAMES",
    "TOGETHER",
    "Choice",
    "ColourShapeJudge",
    "ContextJudge",
    "ContextTraining",
    "Figure",
    "Judge",
    "Line",
    "Panel",
    "Report",
    "Shown",
    "SubjectView",
    "Trial",
    "choose",
    "diversity",
    "draw_trials",
    "forced_choice",
    "judge_named",
    "judges",
    "mean",
    "share",
    "subject_views",
    "train_context_judge",
]
