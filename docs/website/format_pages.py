"""The reference of file formats: every table of fields and every JSON schema, from the classes that write the files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from repository_links import DOCS, INTROS
from schema_words import Schema, field_table, schema_of, without_titles

from retinagrade.datasets.data_check import CheckRecord
from retinagrade.datasets.prepared_set import PreparationRecord
from retinagrade.datasets.split import SplitRecord
from retinagrade.datasets.synthetic.patients import SyntheticRecord
from retinagrade.ensembles.combination import FittedCombination
from retinagrade.evaluation.comparison import ComparisonRecord
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.evaluation.lesion_evaluation import LesionEvaluationRecord
from retinagrade.explanations.lesions.summary import LesionComparison
from retinagrade.explanations.saliency_record import ExplanationRecord
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.lesion_files import OutlinesRecord
from retinagrade.grader.metadata import Metadata
from retinagrade.gradings.grading import Grading
from retinagrade.gradings.studies import StudyGrading
from retinagrade.lesion_maps.grade_model import GradeModel
from retinagrade.models.cut_points import CutPoints
from retinagrade.runs.leave_one_out import LeaveOneOutRecord
from retinagrade.runs.lesion_maps import MapsRecord
from retinagrade.runs.records import EnsembleRecord, FinishedFolds, FinishedTraining, GradeModelRecord
from retinagrade.service.problems import Problem
from retinagrade.service.schemas import GradeResponse
from retinagrade.sites.monitor import MonitoringRecord
from retinagrade.training.gate.metrics_record import GateMetrics
from retinagrade.training.gate.run import GateRecord
from retinagrade.training.tuning.result import TuningRecord
from retinagrade.training.tuning.search_space import SearchSpace


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: Name of its page and schema.
        files: The files that have it, in Markdown.
        model: The class that describes it, or the name of a schema below ``docs`` that is kept by hand.
    """

    name: str
    files: str
    model: Any


FORMATS = (
    Format("grading", "a row of the tables of `grade`, and `photographs[].grading` over HTTP", Grading),
    Format("study", "a row of the tables of `grade --studies`, and `studies[]` over HTTP", StudyGrading),
    Format("grader", "the metadata of a grader file, `FILE.onnx`", "grader.schema.json"),
    Format("metrics", "`metrics.json` of `evaluate`", "metrics.schema.json"),
    Format("comparison", "`comparison.json` of `compare`", ComparisonRecord),
    Format("validation", "`validation.json` of `validate`", "validation.schema.json"),
    Format("calibration", "`calibration.json` of `calibrate` and `validate`", Calibration),
    Format("gate", "the file of `calibrate --quality`, for `grade --gate`", GateSettings),
    Format("synthetic-set", "`synthesize.json` of `data synthesize`", SyntheticRecord),
    Format("data-check", "`check.json` of `data check`", CheckRecord),
    Format("preparation", "`prepare.json` of a prepared set", PreparationRecord),
    Format("split", "`split.json` of a prepared set", SplitRecord),
    Format("lesion-evaluation", "`lesions.json` of `evaluate`, for lesion maps", LesionEvaluationRecord),
    Format("lesion-agreement", "`lesions.json` of `lesion-agreement`", LesionComparison),
    Format("explanation", "`explanation.json` of `explain`", ExplanationRecord),
    Format("outlines", "`ID.json` of `grade --lesions`", OutlinesRecord),
    Format("monitoring", "the output of `monitor --json`", MonitoringRecord),
    Format("training", "`run.json` of a finished training", FinishedTraining),
    Format("folds", "`folds.json` of a finished cross-validation", FinishedFolds),
    Format("data-sets-left-out", "`data-sets.json` of `train --folds data-set`", LeaveOneOutRecord),
    Format("cut-points", "`output.json` of a run with the output `regression`", CutPoints),
    Format("ensemble-run", "`run.json` of an ensemble", EnsembleRecord),
    Format("ensemble", "`ensemble.json`: how the members are combined", FittedCombination),
    Format("lesion-maps", "`maps.json` of lesion maps", MapsRecord),
    Format("grade-model-run", "`run.json` of a grade model", GradeModelRecord),
    Format("grade-model", "`grade_model.json`: the weights", GradeModel),
    Format("gate-run", "`run.json` of `train-gate`", GateRecord),
    Format("gate-metrics", "`metrics.json` of `train-gate`", GateMetrics),
    Format("search-space", "the file of `tune --space`", SearchSpace),
    Format("tuning", "`tuning.json` of `tune`", TuningRecord),
    Format("response", "the answer of the service to `POST /v1/grade`", GradeResponse),
    Format("problem", "an error of the service", Problem),
)


def format_pages() -> dict[str, str]:
    """Writes an overview, and a page for each format.

    Returns:
        Markdown by the path of the page below ``docs``.
    """
    text = (INTROS / "formats.md").read_text(encoding="utf-8")
    rows = [
        f"| [{each.name}]({each.name}.md) | {each.files} | [JSON schema](../../{_schema_path(each)}) |"
        for each in FORMATS
    ]
    pages = {f"reference/formats/{each.name}.md": _page(each) for each in FORMATS}
    return {"reference/formats/index.md": text + "\n".join(rows) + "\n"} | pages


def format_schemas() -> dict[str, str]:
    """Returns the JSON schemas of the formats that are described by a class, by path below ``docs``."""
    return {
        _schema_path(each): json.dumps(_schema(each), indent=2, ensure_ascii=False) + "\n"
        for each in FORMATS
        if not isinstance(each.model, str)
    }


def _schema_path(each: Format) -> str:
    return each.model if isinstance(each.model, str) else f"schemas/{each.name}.schema.json"


def _schema(each: Format) -> Schema:
    if each.name == "grader":
        return without_titles(schema_of(Metadata))
    if isinstance(each.model, str):
        published: Schema = json.loads((DOCS / each.model).read_text(encoding="utf-8"))
        return published
    return without_titles(schema_of(each.model))


def _page(each: Format) -> str:
    schema = _schema(each)
    definitions = schema.get("$defs", {})
    title = each.name.replace("-", " ").capitalize()
    text = [f"# {title}", f"The format of {each.files} ([JSON schema](../../{_schema_path(each)}))."]
    root = definitions.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    text += [root.get("description", "")]
    if "properties" in root:
        text.append(field_table(root, definitions))
    for name, part in definitions.items():
        if "properties" in part and part is not root:
            text += [f"## {name} {{ #{name.lower()} }}", part.get("description", ""), field_table(part, definitions)]
    return "\n\n".join(text)
