"""Tables that describe a calibration."""

from __future__ import annotations

from typing import Final

from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.fitting.conformal import prediction_sets
from retinagrade.evaluation.predictions import GradedPredictions
from retinagrade.evaluation.report.tables import TextTable
from retinagrade.pages.page import format_metric

FITTED_ON_NOTE: Final = (
    "These metrics are of the {} photographs that the thresholds, cuts and sets were fitted on: expect worse ones on "
    "other photographs, and evaluate the calibration on these."
)
"""A caution about the metrics of a calibration, with the number of photographs to fill in."""
_RULES: Final = {
    "sensitivity": "sensitivity at least {:g}",
    "specificity": "specificity at least {:g}",
    "fda": "sensitivity > 85 %, specificity > 82.5 %",
}


def calibration_tables(calibration: Calibration, predictions: GradedPredictions) -> list[TextTable]:
    """Returns tables of the calibrated probabilities, the thresholds, the rules and the prediction sets.

    Args:
        calibration: The calibration.
        predictions: The photographs that it was fitted on, with probabilities as predicted.
    """
    return [
        _probabilities(calibration),
        _operating_points(calibration),
        _rules(calibration),
        _prediction_sets(calibration, predictions),
    ]


def _probabilities(calibration: Calibration) -> TextTable:
    names = {
        "none": "as predicted",
        "temperature": f"temperature {calibration.temperature.temperature:.3f}",
        "isotonic": "isotonic",
    }
    rows = []
    for method, metrics in calibration.metrics.items():
        values = (None, None) if metrics is None else (metrics.log_loss, metrics.calibration_error)
        used = " (used below)" if method == calibration.method else ""
        rows.append([names[method] + used, *map(format_metric, values)])
    return TextTable(
        f"{calibration.source.photographs} photographs",
        ["probabilities", "log loss", "calibration error"],
        rows,
        "Cross-validated: each fifth of the photographs is calibrated by a fit on the other four.",
    )


def _operating_points(calibration: Calibration) -> TextTable:
    rows = []
    for name, point in calibration.thresholds.items():
        shown = {"oedema": "macular oedema"}.get(name, name.replace("_", "-"))
        if point is None and name == "oedema" and name not in calibration.undefined:
            continue  # the network doesn't know oedema
        if point is None:
            rows.append([shown, *["–"] * 5])
            continue
        rows.append(
            [
                shown,
                _RULES[point.rule].format(point.target),
                f"{point.threshold:.3f}",
                f"{point.sensitivity:.3f}",
                f"{point.specificity:.3f}",
                f"{point.positives} / {point.negatives}",
            ]
        )
    head = ["positive", "rule", "threshold", "sensitivity", "specificity", "photographs + / -"]
    note = "A photograph is referable for referable retinopathy or macular oedema." * (
        calibration.referral == "retinopathy-or-oedema"
    )
    return TextTable("Thresholds", head, rows, note)


def _rules(calibration: Calibration) -> TextTable:
    rows = []
    if (cuts := calibration.grade_cuts) is not None:
        kappas = map(format_metric, (cuts.quadratic_weighted_kappa, cuts.cross_validated, cuts.of_most_probable))
        rows.append(
            [
                "grade by cuts of the expected grade",
                " ".join(f"{cut:.2f}" for cut in cuts.cuts),
                "QWK {} (cross-validated {}); most probable grade: {}".format(*kappas),
            ]
        )
    for rule, threshold in (
        ("a person reviews at most {:.0%}", calibration.review_share),
        ("at most {:.0%} of the other grades are wrong", calibration.review_error),
    ):
        if threshold is not None:
            shares = (threshold.reviewed, threshold.error, threshold.far_off)
            rows.append(
                [
                    rule.format(threshold.target),
                    f"confidence below {threshold.confidence:.3f}",
                    "{:.0%} reviewed; of the others {:.0%} wrong, {:.0%} by 2 or more".format(*shares),
                ]
            )
    return TextTable("Other rules", ["rule", "fitted", "outcome"], rows)


def _prediction_sets(calibration: Calibration, predictions: GradedPredictions) -> TextTable:
    probabilities = calibration.calibrate(predictions.probabilities)
    rows = []
    for name, conformal in (
        (f"{calibration.prediction_sets.coverage:g} of all photographs", calibration.prediction_sets),
        (f"{calibration.prediction_sets.coverage:g} of each grade", calibration.prediction_sets_by_grade),
    ):
        sets = prediction_sets(conformal, probabilities)
        sizes = sets.sum(axis=1)
        rows.append(
            [
                name,
                f"{sets[range(len(sets)), predictions.grades].mean():.3f}",
                *(f"{(sizes == size).mean():.0%}" for size in range(1, 6)),
                f"{sizes.mean():.2f}",
            ]
        )
    head = ["sets that hold the right grade for", "reached", "one grade", "two", "three", "four", "all five"]
    return TextTable("Prediction sets", [*head, "mean size"], rows)
