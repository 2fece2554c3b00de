"""An ensemble: a run that combines the saved predictions of other runs. No network runs again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retinagrade.arguments import AT_LEAST_ONE, check_arguments
from retinagrade.ensembles.combination import (
    Combination,
    EnsembleMethodName,
    FittedCombination,
    FittedMember,
    combine_members,
    describe_combination,
    fit_combination,
    load_combination,
    save_combination,
)
from retinagrade.ensembles.contributions import contributions_frame, contributions_table
from retinagrade.ensembles.eyes import both_eyes_scores, has_quality
from retinagrade.ensembles.members import (
    EnsembleMember,
    JoinedPredictions,
    class_weights,
    join_members,
    manifest_of,
    read_members,
)
from retinagrade.ensembles.scores import MemberScores
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.comparison import NetworkComparison, compare_predictions
from retinagrade.evaluation.fitting.out_of_fold import out_of_fold
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.evaluation.report.tables import TextTable, metric_text, tables_html
from retinagrade.evaluation.resampling import RESAMPLES
from retinagrade.messages import first_few
from retinagrade.provenance import provenance_record
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.records import EnsembleRecord, MemberRecord
from retinagrade.runs.run import Run
from retinagrade.storage.files import is_free_folder, sha256, write_text
from retinagrade.storage.locking import locked
from retinagrade.storage.output_guard import continued_folder, guard_outputs, path_from_folder, relative_to_folder

ALL_MEMBERS: Final = "all members"
"""Name of the ensemble among the networks that it is compared with."""
VALIDATION_METHOD: Final = (
    "out of fold: each fifth of the photographs by a fit on the other four, with each patient in one fifth"
)
FURTHER_METHOD: Final = "by the fit on all validation photographs, which ensemble.json holds"


@dataclass(frozen=True, repr=False)
class Ensemble:
    """An ensemble, and the contributions of its members.

    Attributes:
        run: The run that holds it.
        fitted: The combination of its members.
        networks: Tables of predictions by split and network: of the ensemble (:data:`ALL_MEMBERS`), of each member
            alone, and of the ensemble without each member, fitted anew; for the validation photographs, out of fold.
        skipped: The reason for each split that all members have predicted and that was left out.
        comparisons: The comparison of the networks, for each split with grades.
    """

    run: Run
    fitted: FittedCombination
    networks: dict[str, dict[str, pd.DataFrame]]
    skipped: dict[str, str]
    comparisons: dict[str, NetworkComparison]

    @property
    def contributions(self) -> pd.DataFrame:
        """The contributions of the members, as in ``members.csv``: one row for each split and network."""
        return contributions_frame(self.comparisons)

    def tables(self) -> list[TextTable]:
        """Returns the tables of contributions, one for each split with grades."""
        tables = []
        for split, comparison in self.comparisons.items():
            fit = "out of fold" if split == "val" else "fitted on the validation photographs"
            photographs = comparison.evaluations[comparison.first].photographs
            tables.append(contributions_table(comparison, f"{split}: {photographs} photographs, {fit}"))
        return tables

    def __repr__(self) -> str:
        """Returns the combination, and each network's quadratic weighted kappa by split."""
        lines = [f"Ensemble in {self.run.folder}", f"  {describe_combination(self.fitted)}"]
        for split, comparison in self.comparisons.items():
            for network, evaluation in comparison.evaluations.items():
                lines.append(f"  {split}, {network}: QWK {metric_text(evaluation, 'quadratic_weighted_kappa')}")
        return "\n".join([*lines, *(f"  {split} was left out: {reason}" for split, reason in self.skipped.items())])

    def _repr_html_(self) -> str:
        """Returns the tables of contributions, for notebooks."""
        return tables_html(self.tables())

    def to_json(self) -> dict[str, Any]:
        """Returns the record, the combination without the coefficients of a second stage, and the comparisons."""
        return {
            "run": self.run.ensemble_record().model_dump(mode="json"),
            "combination": self.fitted.combination.model_dump(mode="json", exclude={"layers"}),
            "members": {split: comparison.to_json() for split, comparison in self.comparisons.items()},
        }


@check_arguments(resamples=AT_LEAST_ONE)
def ensemble(
    runs: Sequence[str | os.PathLike[str] | Run | CrossValidation],
    out: str | os.PathLike[str],
    *,
    method: EnsembleMethodName = "mean",
    resamples: int = RESAMPLES,
) -> Ensemble:
    """Combines runs into a new run, an ensemble.

    The combination is fitted on the members' predictions of the split ``val``, and applied to every further split that
    all of them have predicted, unless it holds validation photographs. The ensemble's own predictions of ``val`` are
    out of fold. The same call again predicts further splits with the earlier fit.

    Args:
        runs: Runs, cross-validations and ensembles, or their folders, trained on one split: two or more; for ``eyes``,
            one.
        out: Folder of the ensemble: ``predictions/``, ``ensemble.json`` (the combination), ``run.json``, and the
            contributions of the members in ``members.csv`` and ``members/SPLIT/comparison.html``.
        method: How to combine the members.
        resamples: Number of resamples of patients for the intervals of the contributions.

    Returns:
        The ensemble.

    Raises:
        ExperimentError: The members can't be combined, or ``out`` holds something else.
        JoinError: The members have predicted different photographs, or some of these have no grade.
        UsageError: There are too few members, or too many; or ``out`` is, holds or lies in a member.
    """
    folders = [run.folder if isinstance(run, Run | CrossValidation) else Path(run) for run in runs]
    _require_members(method, len(folders))
    run = Run(Path(out))
    guard_outputs([continued_folder(run.folder)], folders)
    with locked(run.record_file):
        members = read_members(folders)
        earlier = _begin(run, method, _sources(members, run.folder))
        validation = join_members(members, "val")
        splits = sorted(set.intersection(*(member.splits for member in members)) - {"val"})
        try:
            fit = _fit(method, members, validation, earlier, run.folder, without=bool(splits))
        except Undefined as reason:
            raise ExperimentError(f"--method {method}: {reason}") from None
        networks = {"val": _networks(validation, members, fit.validated)}
        skipped = {}
        for split in splits:
            joined = join_members(members, split)
            try:
                networks[split] = _networks(joined, members, fit.predict(joined))
            except UsageError as reason:
                skipped[split] = str(reason)
        save_combination(fit.fitted, run.ensemble_file)  # first, so that the same call continues after an interruption
        for split, tables in networks.items():
            write_predictions(tables[ALL_MEMBERS], run.predictions_file(split))
        record = _record(run, members, fit.fitted, [*networks], skipped)
        run.write_record(record)
        comparisons = {
            split: _compare(tables, run, split, resamples)
            for split, tables in networks.items()
            if tables[ALL_MEMBERS]["grade"].notna().any()
        }
        made = Ensemble(run, fit.fitted, networks, skipped, comparisons)
        for split, comparison in comparisons.items():
            comparison.write(run.folder / "members" / split)
        write_text(run.folder / "members.csv", made.contributions.to_csv(index=False, lineterminator="\n"))
    return made


def predict_ensemble(fitted: FittedCombination, joined: JoinedPredictions) -> NDArray[np.float64]:
    """Applies an ensemble to photographs that it was not fitted on.

    Args:
        fitted: The combination of the members.
        joined: The members' predictions of other photographs.

    Returns:
        Probabilities (N, 5).

    Raises:
        UsageError: The combination was fitted on some of the photographs.
    """
    fitted_on = joined.table["image_id"].isin(fitted.image_ids)
    if fitted_on.any():
        raise UsageError(
            f"the ensemble was fitted on {fitted_on.sum()} of the photographs "
            f"({first_few(joined.table['image_id'][fitted_on])}): evaluate it on other photographs"
        )
    return combine_members(fitted.combination, _inputs(fitted.combination.method, joined, fitted.quality))


@dataclass(frozen=True)
class _Fit:
    """Fits on the validation photographs.

    Attributes:
        fitted: The ensemble.
        validated: Out-of-fold probabilities (N, 5) of the ensemble and of the ensembles without a member, by name.
        without: The combination and the columns of the members, for each ensemble without a member.
    """

    fitted: FittedCombination
    validated: dict[str, NDArray[np.float64]]
    without: dict[str, tuple[Combination, NDArray[np.int64]]]

    def predict(self, joined: JoinedPredictions) -> dict[str, NDArray[np.float64]]:
        """Predicts other photographs with the ensemble and with the ensembles without a member."""
        predicted = {ALL_MEMBERS: predict_ensemble(self.fitted, joined)}
        for name, (combination, columns) in self.without.items():
            predicted[name] = combine_members(combination, joined.probabilities[:, columns])
        return predicted


def _fit(
    method: EnsembleMethodName,
    members: Sequence[EnsembleMember],
    validation: JoinedPredictions,
    earlier: FittedCombination | None,
    ensemble: Path,
    without: bool,
) -> _Fit:
    """Fits the ensemble, and the ensembles without a member.

    Args:
        method: The method.
        members: The members.
        validation: Their predictions of the validation photographs.
        earlier: The combination that was fitted by an earlier call.
        ensemble: Folder of the ensemble.
        without: Whether further splits need the ensembles without a member.
    """
    quality = method == "eyes" and has_quality(validation.table)
    scores = validation.scores(_inputs(method, validation, quality))
    weights = class_weights(members, validation) if method == "recall" else None
    subsets = _subsets(members)
    fitted = earlier or FittedCombination(
        members=_sources(members, ensemble),
        combination=fit_combination(method, scores, weights),
        quality=quality,
        image_ids=tuple(validation.table["image_id"]),
    )

    def fit_and_combine(others: MemberScores, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return combine_members(fit_combination(method, others, weights), probabilities)

    parts = {ALL_MEMBERS: scores, **{name: scores.members(columns) for name, columns in subsets.items()}}
    return _Fit(
        fitted,
        {name: out_of_fold(part, fit_and_combine) for name, part in parts.items()},
        {
            name: (fit_combination(method, parts[name], weights), columns)
            for name, columns in subsets.items()
            if without
        },
    )


def _require_members(method: EnsembleMethodName, count: int) -> None:
    if method == "eyes" and count != 1:
        raise UsageError("--method eyes needs one run: combine several by another method first, and then its eyes")
    if method != "eyes" and count < 2:
        raise UsageError(f"--method {method} needs two runs or more")


def _sources(members: Sequence[EnsembleMember], ensemble: Path) -> tuple[FittedMember, ...]:
    return tuple(
        FittedMember(
            name=member.name,
            folder=relative_to_folder(member.folder, ensemble),
            sha256=sha256(member.predictions_file("val")),
        )
        for member in members
    )


def _begin(run: Run, method: EnsembleMethodName, sources: tuple[FittedMember, ...]) -> FittedCombination | None:
    """Recognises the folder, and returns the combination that an earlier call has fitted."""
    if not run.is_ensemble:
        if not is_free_folder(run.folder):
            raise ExperimentError(f"{run.folder} is not empty and no ensemble: choose another --out")
        return None
    fitted = load_combination(run.ensemble_file)
    before = [(source.name, source.sha256) for source in fitted.members]
    if fitted.combination.method != method or before != [(source.name, source.sha256) for source in sources]:
        raise ExperimentError(
            f"{run.folder} holds an ensemble of {', '.join(name for name, _ in before)} by "
            f"{fitted.combination.method}, or their validation predictions have changed: choose another --out, or "
            "delete that folder"
        )
    return fitted


def _inputs(method: EnsembleMethodName, joined: JoinedPredictions, quality: bool) -> NDArray[np.float64]:
    """Returns the scores of the members, or of both eyes."""
    if method != "eyes":
        return joined.probabilities
    return both_eyes_scores(joined.with_probabilities(joined.probabilities[:, 0]), quality)


def _subsets(members: Sequence[EnsembleMember]) -> dict[str, NDArray[np.int64]]:
    """Returns the indices of all members but one, for each member; none for two members, as one would remain alone."""
    if len(members) < 3:
        return {}
    everyone = np.arange(len(members))
    return {f"without {member.name}": np.delete(everyone, index) for index, member in enumerate(members)}


def _networks(
    joined: JoinedPredictions, members: Sequence[EnsembleMember], combined: dict[str, NDArray[np.float64]]
) -> dict[str, pd.DataFrame]:
    """Returns tables of predictions of the ensemble, of each member alone, and of the ensembles without a member."""
    alone = {f"{member.name} alone": joined.probabilities[:, index] for index, member in enumerate(members)}
    return {
        name: joined.with_probabilities(probabilities)
        for name, probabilities in {ALL_MEMBERS: combined[ALL_MEMBERS], **alone, **combined}.items()
    }


def _compare(tables: dict[str, pd.DataFrame], run: Run, split: str, resamples: int) -> NetworkComparison:
    files = {
        f"{path_from_folder(member.folder, run.folder)}/predictions/{split}.csv": member.predictions[split]
        for member in run.ensemble_record().members
    }
    findings: dict[str, list[Any]] = {name: [] for name in tables}
    return compare_predictions(
        tables, findings=findings, inputs=[*map(Path, files)], sources=files, resamples=resamples
    )


def _record(
    run: Run,
    members: Sequence[EnsembleMember],
    fitted: FittedCombination,
    splits: Sequence[str],
    skipped: dict[str, str],
) -> EnsembleRecord:
    data = members[0].data.model_copy(update={"prepared": relative_to_folder(members[0].run.prepared, run.folder)})
    manifest = manifest_of(members[0])
    if manifest is not None:
        manifest.write(run.manifest_file)
        data = data.model_copy(update={"manifest_sha256": sha256(run.manifest_file)})
    method = fitted.combination.method
    return EnsembleRecord(
        experiment=f"{', '.join(source.name for source in fitted.members)}: {method}",
        method=method,
        data=data,
        members=tuple(
            MemberRecord(
                name=member.name,
                folder=relative_to_folder(member.folder, run.folder),
                cut_points=member.cut_points,
                predictions={split: sha256(member.predictions_file(split)) for split in splits},
            )
            for member in members
        ),
        predictions={split: VALIDATION_METHOD if split == "val" else FURTHER_METHOD for split in splits},
        skipped=skipped,
        **provenance_record(),
    )
