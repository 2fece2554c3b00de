"""Honest grading of diabetic retinopathy from colour fundus photographs.

Every command of the command line is one function of this package. A typical way from a folder to a grader file:

    import retinagrade

    prepared = retinagrade.prepare("IDRiD", "prepared", size=512)
    retinagrade.split("prepared", val=0.2)
    run = retinagrade.train("prepared", "efficientnet-lite0", "runs/first")
    evaluation = retinagrade.evaluate(run.predictions_file("val"))
    retinagrade.calibrate(run.folder)
    retinagrade.export(run, "first.onnx")
    results = retinagrade.grade("photographs", model="first.onnx")

A name is loaded when it is first used, so ``import retinagrade`` loads no framework. Research software, not a medical
device.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from retinagrade.datasets.check import check
    from retinagrade.datasets.data_check import DataCheck
    from retinagrade.datasets.join import join
    from retinagrade.datasets.prepare import prepare
    from retinagrade.datasets.prepared_set import PreparedSet
    from retinagrade.datasets.split import GroupBy, split
    from retinagrade.datasets.synthetic.patients import synthesize
    from retinagrade.demo import DemoResult, run_demo
    from retinagrade.ensembles.combination import EnsembleMethodName
    from retinagrade.ensembles.ensemble import Ensemble, ensemble
    from retinagrade.errors import (
        CalibrationError,
        ExperimentError,
        GraderFileError,
        ImageError,
        JoinError,
        LayoutError,
        ManifestError,
        RetinagradeError,
        UsageError,
    )
    from retinagrade.evaluation.comparison import NetworkComparison
    from retinagrade.evaluation.evaluate import Evaluation, evaluate_confusion_matrix
    from retinagrade.evaluation.fitting.calibration import Calibration, Referral
    from retinagrade.evaluation.fitting.operating_points import OperatingPointRule
    from retinagrade.evaluation.fitting.probability_calibration import CalibrationMethodName
    from retinagrade.evaluation.lesion_evaluation import LesionEvaluation
    from retinagrade.evaluation.sample_plan import Measure, SamplePlan, plan
    from retinagrade.execution.engine import Engine, EngineName
    from retinagrade.execution.progress import Progress
    from retinagrade.experiments.experiment import Experiment, experiment_names, load_experiment
    from retinagrade.experiments.new import new_experiment
    from retinagrade.explanations.explain import Explanation, explain
    from retinagrade.explanations.lesions.measure import measure_lesion_agreement
    from retinagrade.explanations.lesions.summary import LesionComparison
    from retinagrade.explanations.runs import RunOrFolder
    from retinagrade.exporting.export import ExportedGrader, export
    from retinagrade.exporting.gate_export import ExportedGate, export_gate
    from retinagrade.gate.settings import GateSettings
    from retinagrade.grader.calibrate_gate import GateCalibration, calibrate_gate
    from retinagrade.grader.grade import PathArgument, grade
    from retinagrade.grader.grading_results import GradingResults
    from retinagrade.grader.metadata import AuthorStatements, Precision
    from retinagrade.grader.runtime import Grader
    from retinagrade.grades import Grade
    from retinagrade.gradings.grading import Grading
    from retinagrade.gradings.studies import StudyGrading
    from retinagrade.images.camera import CameraChange
    from retinagrade.images.prepare import Contrast, Square
    from retinagrade.manifest import Manifest
    from retinagrade.node.listen import listen
    from retinagrade.runs.calibrate import calibrate
    from retinagrade.runs.compare import ComparedNetwork, compare
    from retinagrade.runs.cross_validation import CrossValidation
    from retinagrade.runs.evaluate import evaluate
    from retinagrade.runs.evaluate_lesions import evaluate_lesions
    from retinagrade.runs.fit_grades import fit_grades
    from retinagrade.runs.leave_one_out import LeaveOneOut
    from retinagrade.runs.lesion_maps import LesionMaps
    from retinagrade.runs.predictions import Predictions
    from retinagrade.runs.run import Run
    from retinagrade.service.server import serve
    from retinagrade.sites.adapt import LocalAdaptation, adapt
    from retinagrade.sites.local_file import LocalGrader
    from retinagrade.sites.localize import localize
    from retinagrade.sites.monitor import Monitoring, monitor
    from retinagrade.sites.periods import PeriodBy
    from retinagrade.sites.validate import validate
    from retinagrade.sites.validation import Validation
    from retinagrade.training.cross_validate import cross_validate
    from retinagrade.training.distributed import Devices
    from retinagrade.training.gate.run import GateRun
    from retinagrade.training.gate.train import train_gate
    from retinagrade.training.learning_rate import RateSearch, find_learning_rate
    from retinagrade.training.leave_one_out import leave_one_data_set_out
    from retinagrade.training.lesions.outline import outline
    from retinagrade.training.predict import predict
    from retinagrade.training.sweep import Sweep, sweep
    from retinagrade.training.train import train
    from retinagrade.training.tuning.result import TuningResult
    from retinagrade.training.tuning.search import PruningName
    from retinagrade.training.tuning.search_space import SearchSpace
    from retinagrade.training.tuning.tune import tune

__version__ = "0.2.0"

_MODULES: Final = {
    "AuthorStatements": "grader.metadata",
    "Calibration": "evaluation.fitting.calibration",
    "CalibrationError": "errors",
    "CalibrationMethodName": "evaluation.fitting.probability_calibration",
    "CameraChange": "images.camera",
    "ComparedNetwork": "runs.compare",
    "Contrast": "images.prepare",
    "CrossValidation": "runs.cross_validation",
    "DataCheck": "datasets.data_check",
    "DemoResult": "demo",
    "Devices": "training.distributed",
    "Engine": "execution.engine",
    "EngineName": "execution.engine",
    "Ensemble": "ensembles.ensemble",
    "EnsembleMethodName": "ensembles.combination",
    "Evaluation": "evaluation.evaluate",
    "Experiment": "experiments.experiment",
    "ExperimentError": "errors",
    "Explanation": "explanations.explain",
    "ExportedGate": "exporting.gate_export",
    "ExportedGrader": "exporting.export",
    "GateCalibration": "grader.calibrate_gate",
    "GateRun": "training.gate.run",
    "GateSettings": "gate.settings",
    "Grade": "grades",
    "Grader": "grader.runtime",
    "GraderFileError": "errors",
    "Grading": "gradings.grading",
    "GradingResults": "grader.grading_results",
    "GroupBy": "datasets.split",
    "ImageError": "errors",
    "JoinError": "errors",
    "LayoutError": "errors",
    "LeaveOneOut": "runs.leave_one_out",
    "LesionComparison": "explanations.lesions.summary",
    "LesionEvaluation": "evaluation.lesion_evaluation",
    "LesionMaps": "runs.lesion_maps",
    "LocalAdaptation": "sites.adapt",
    "LocalGrader": "sites.local_file",
    "Manifest": "manifest",
    "ManifestError": "errors",
    "Measure": "evaluation.sample_plan",
    "Monitoring": "sites.monitor",
    "NetworkComparison": "evaluation.comparison",
    "OperatingPointRule": "evaluation.fitting.operating_points",
    "PathArgument": "grader.grade",
    "PeriodBy": "sites.periods",
    "Precision": "grader.metadata",
    "Predictions": "runs.predictions",
    "PreparedSet": "datasets.prepared_set",
    "Progress": "execution.progress",
    "PruningName": "training.tuning.search",
    "RateSearch": "training.learning_rate",
    "Referral": "evaluation.fitting.calibration",
    "RetinagradeError": "errors",
    "Run": "runs.run",
    "RunOrFolder": "explanations.runs",
    "SamplePlan": "evaluation.sample_plan",
    "SearchSpace": "training.tuning.search_space",
    "Square": "images.prepare",
    "StudyGrading": "gradings.studies",
    "Sweep": "training.sweep",
    "TuningResult": "training.tuning.result",
    "UsageError": "errors",
    "Validation": "sites.validation",
    "adapt": "sites.adapt",
    "calibrate": "runs.calibrate",
    "calibrate_gate": "grader.calibrate_gate",
    "check": "datasets.check",
    "compare": "runs.compare",
    "cross_validate": "training.cross_validate",
    "ensemble": "ensembles.ensemble",
    "evaluate": "runs.evaluate",
    "evaluate_confusion_matrix": "evaluation.evaluate",
    "evaluate_lesions": "runs.evaluate_lesions",
    "experiment_names": "experiments.experiment",
    "explain": "explanations.explain",
    "export": "exporting.export",
    "export_gate": "exporting.gate_export",
    "find_learning_rate": "training.learning_rate",
    "fit_grades": "runs.fit_grades",
    "grade": "grader.grade",
    "join": "datasets.join",
    "leave_one_data_set_out": "training.leave_one_out",
    "listen": "node.listen",
    "load_experiment": "experiments.experiment",
    "localize": "sites.localize",
    "measure_lesion_agreement": "explanations.lesions.measure",
    "monitor": "sites.monitor",
    "new_experiment": "experiments.new",
    "outline": "training.lesions.outline",
    "plan": "evaluation.sample_plan",
    "predict": "training.predict",
    "prepare": "datasets.prepare",
    "run_demo": "demo",
    "serve": "service.server",
    "split": "datasets.split",
    "sweep": "training.sweep",
    "synthesize": "datasets.synthetic.patients",
    "train": "training.train",
    "train_gate": "training.gate.train",
    "tune": "training.tuning.tune",
    "validate": "sites.validate",
}
"""The module of every public name, below this package."""

__all__ = [
    "AuthorStatements",
    "Calibration",
    "CalibrationError",
    "CalibrationMethodName",
    "CameraChange",
    "ComparedNetwork",
    "Contrast",
    "CrossValidation",
    "DataCheck",
    "DemoResult",
    "Devices",
    "Engine",
    "EngineName",
    "Ensemble",
    "EnsembleMethodName",
    "Evaluation",
    "Experiment",
    "ExperimentError",
    "Explanation",
    "ExportedGate",
    "ExportedGrader",
    "GateCalibration",
    "GateRun",
    "GateSettings",
    "Grade",
    "Grader",
    "GraderFileError",
    "Grading",
    "GradingResults",
    "GroupBy",
    "ImageError",
    "JoinError",
    "LayoutError",
    "LeaveOneOut",
    "LesionComparison",
    "LesionEvaluation",
    "LesionMaps",
    "LocalAdaptation",
    "LocalGrader",
    "Manifest",
    "ManifestError",
    "Measure",
    "Monitoring",
    "NetworkComparison",
    "OperatingPointRule",
    "PathArgument",
    "PeriodBy",
    "Precision",
    "Predictions",
    "PreparedSet",
    "Progress",
    "PruningName",
    "RateSearch",
    "Referral",
    "RetinagradeError",
    "Run",
    "RunOrFolder",
    "SamplePlan",
    "SearchSpace",
    "Square",
    "StudyGrading",
    "Sweep",
    "TuningResult",
    "UsageError",
    "Validation",
    "__version__",
    "adapt",
    "calibrate",
    "calibrate_gate",
    "check",
    "compare",
    "cross_validate",
    "ensemble",
    "evaluate",
    "evaluate_confusion_matrix",
    "evaluate_lesions",
    "experiment_names",
    "explain",
    "export",
    "export_gate",
    "find_learning_rate",
    "fit_grades",
    "grade",
    "join",
    "leave_one_data_set_out",
    "listen",
    "load_experiment",
    "localize",
    "measure_lesion_agreement",
    "monitor",
    "new_experiment",
    "outline",
    "plan",
    "predict",
    "prepare",
    "run_demo",
    "serve",
    "split",
    "sweep",
    "synthesize",
    "train",
    "train_gate",
    "tune",
    "validate",
]

# ONNX Runtime reads this variable when it is first imported. Without it, ONNX Runtime reports usage to its makers and
# keeps an identifier of the machine on disk.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """Loads a public name when it is first used."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'retinagrade' has no attribute {name!r}")
    value = getattr(import_module(f"retinagrade.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names, loaded or not."""
    return sorted(__all__)
