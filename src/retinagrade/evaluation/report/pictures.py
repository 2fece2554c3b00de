"""Pictures of an evaluation by name; each one is drawn when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from matplotlib.figure import Figure

from retinagrade.evaluation.curves import Curve, precision_recall, reliability, roc
from retinagrade.evaluation.decisions import DecisionResults
from retinagrade.evaluation.fitting.selective_prediction import risk_coverage
from retinagrade.evaluation.intervals import Interval
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.named_metrics import TASKS
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.report import plots
from retinagrade.evaluation.report.decision_plots import decision_curve_plot
from retinagrade.evaluation.report.plots import MarkedPoint
from retinagrade.evaluation.report.tables import metric_text, rule_text
from retinagrade.evaluation.results import EvaluationResults
from retinagrade.grades import Grade


@dataclass(frozen=True)
class Picture:
    """A picture of an evaluation.

    Attributes:
        name: Name of its files, without suffix.
        caption: Explanation for the reader.
        draw: Draws it.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]

    @cached_property
    def figure(self) -> Figure:
        """The Matplotlib figure."""
        return self.draw()

    @cached_property
    def png(self) -> bytes:
        """The picture as PNG."""
        return plots.figure_png(self.figure)


def evaluation_pictures(results: EvaluationResults) -> dict[str, Picture]:
    """Returns the pictures of an evaluation by name; a bare confusion matrix has only the first two.

    The names are ``confusion_matrix``, ``grades``, ``roc``, ``precision_recall``, ``reliability``, ``risk_coverage``,
    ``training_curves``, ``fold_curves``, ``decision_curve_by_photograph`` and ``decision_curve_by_patient``. The ROC
    curves need photographs with and without the disease, the training curves need a history, the curves of folds a
    cross-validation, and the decision curves a table of results of ``retinagrade grade``.
    """
    pictures = [_confusion_matrix(results), _grades(results)]
    if results.predictions is not None:
        pictures += [*_screening(results, results.predictions), *_certainty(results, results.predictions)]
    context = results.context
    if context.history is not None:
        draw = partial(plots.training_curves, context.history, context.loss)
        caption = "Losses and validation metrics by epoch. The run keeps the weights of the marked epoch."
        pictures.append(Picture("training_curves", caption, draw))
    if context.folds is not None:
        draw = partial(plots.fold_curves, context.folds.histories, context.loss)
        caption = "Losses and QWK of each fold by epoch. Each fold keeps the weights of its marked epoch."
        pictures.append(Picture("fold_curves", caption, draw))
    if results.decisions is not None:
        pictures += _decision_curves(results.decisions)
    return {picture.name: picture for picture in pictures}


def _decision_curves(decisions: DecisionResults) -> list[Picture]:
    pictures = []
    for unit in decisions.units:
        curves = [one for one in decisions.curves if one.unit == unit and one.decision != "vision_threatening"]
        if curves:
            caption = (
                f"Net benefit by {unit}: true referrals minus weighted false ones, per {unit} screened. The threshold "
                "probability t sets the weight, t / (1 - t): a programme that accepts nine false referrals for a true "
                "one reads the plot at 0.1. The grader is worth using where its line is above those of referring "
                "everybody and nobody. Refused photographs are referred; the bands are 95 % intervals."
            )
            pictures.append(Picture(f"decision_curve_by_{unit}", caption, partial(decision_curve_plot, curves)))
    return pictures


def _confusion_matrix(results: EvaluationResults) -> Picture:
    draw = partial(plots.confusion_matrix_plot, results.confusion_matrix)
    return Picture("confusion_matrix", "Counts, and their share of the row.", draw)


def _grades(results: EvaluationResults) -> Picture:
    shares = {
        label: [
            _with_ends(results.metrics[f"grade_{grade}_{name}"], results.intervals.get(f"grade_{grade}_{name}"))
            for grade in range(len(Grade))
        ]
        for name, label in (("recall", "sensitivity (recall)"), ("precision", "precision"))
    }
    return Picture(
        "grades",
        "Sensitivity is the share of a grade's photographs that have this predicted grade. Precision is the share of "
        "the photographs with this predicted grade that really have the grade.",
        partial(plots.grades_plot, shares, results.support),
    )


def _screening(results: EvaluationResults, predictions: GradedPredictions) -> list[Picture]:
    curves: dict[str, Curve] = {}
    for task in TASKS:
        try:
            curves[task] = roc(predictions, task)
        except Undefined:
            continue
    if not curves:
        return []
    areas = {task: metric_text(results, f"{task}_auc") for task in curves}
    points = {task: _operating_points(results, task) for task in curves}
    precision = {task: precision_recall(predictions, task) for task in curves}
    prevalence = {task: float((predictions.grades >= TASKS[task]).mean()) for task in curves}
    return [
        Picture(
            "roc",
            "Sensitivity against false alarms. Hollow marks are published systems, each measured on its own patients "
            "with its own reference standard; they are for orientation only.",
            partial(plots.roc_plot, curves, areas, points),
        ),
        Picture(
            "precision_recall",
            "Precision is the share of the positive photographs that have the disease. Recall is the share of the "
            "photographs with the disease that are positive.",
            partial(plots.precision_recall_plot, precision, prevalence),
        ),
    ]


def _operating_points(results: EvaluationResults, task: str) -> list[MarkedPoint]:
    """Returns the operating point of a task; without a calibration, the point of the most probable grade."""
    applied = results.applied_calibration
    if applied is None:
        values = [results.metrics[f"{task}_{name}"] for name in ("sensitivity", "specificity")]
        label = "most probable grade"
    else:
        one = next((one for one in applied.operating_points if one.task == task), None)
        if one is None:
            return []
        values, label = [one.metrics[name] for name in ("sensitivity", "specificity")], rule_text(one.point)
    sensitivity, specificity = values
    if sensitivity is None or specificity is None:
        return []
    return [MarkedPoint(label, sensitivity, specificity, ours=True)]


def _certainty(results: EvaluationResults, predictions: GradedPredictions) -> list[Picture]:
    applied = results.applied_calibration
    bins = {"as predicted": reliability(predictions)}
    kept = None
    if applied is not None:
        predictions = applied.predictions
        bins = {"calibrated": reliability(predictions), **bins}
        kept = 1 - applied.review_thresholds[0].reviewed if applied.review_thresholds else None
    risk = risk_coverage(predictions)
    curves = {
        "wrong grade": Curve(risk.coverage, risk.error),
        "off by two or more": Curve(risk.coverage, risk.far_off),
    }
    return [
        Picture(
            "reliability",
            "Share of right grades by confidence. On the dotted line, the two are equal.",
            partial(plots.reliability_plot, bins),
        ),
        Picture(
            "risk_coverage",
            "Error rates that remain if a person reviews the least certain photographs. The area under the curve of "
            f"wrong grades is {risk.area:.3f}.",
            partial(plots.risk_coverage_plot, curves, kept),
        ),
    ]


def _with_ends(value: float | None, interval: Interval | None) -> tuple[float, float, float] | None:
    if value is None:
        return None
    return (value, value, value) if interval is None else (value, interval.low, interval.high)
