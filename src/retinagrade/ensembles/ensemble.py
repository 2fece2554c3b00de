"""An ensemble: a run that was combined from the saved predictions of others. No network is run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from retinagrade import provenance
from retinagrade.ensembles.combination import (
    FittedCombination,
    FittedMember,
    Method,
    combine_members,
    fit_combination,
    load_combination,
    save_combination,
)
from retinagrade.ensembles.eyes import both_eyes_scores, has_quality
from retinagrade.ensembles.members import (
    EnsembleMember,
    JoinedPredictions,
    class_weights,
    join_members,
    manifest_of,
    read_members,
)
from retinagrade.ensembles.scores import MemberScores, out_of_fold_probabilities
from retinagrade.errors import ExperimentError, UsageError
from retinagrade.evaluation.metrics import Undefined
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.files import is_free_folder, sha256
from retinagrade.messages import first_few
from retinagrade.runs.records import EnsembleRecord, MemberRecord
from retinagrade.runs.run import Run

ALL: Final = "all members"
"""The ensemble, among the networks that it is compared with."""
HOW: Final = {
    "val": "out of fold: each fifth of the photographs by what was fitted on the other four, patients kept together",
    "others": "by what was fitted on all validation photographs, which is in ensemble.json",
}


@dataclass(frozen=True)
class Ensemble:
    """An ensemble, and what its members are worth to it.

    Attributes:
        run: Its folder.
        fitted: How its members are combined.
        networks: By split, tables of predictions: of the ensemble (:data:`ALL`), of each member alone, and of the
            ensemble without each, fitted anew; of the validation photographs all of them out of fold.
        skipped: Splits that all members have predicted and that were left out, with the reason.
    """

    run: Run
    fitted: FittedCombination
    networks: dict[str, dict[str, pd.DataFrame]]
    skipped: dict[str, str]


def ensemble(folders: Sequence[Path], method: Method, out: Path) -> Ensemble:
    """Combines runs, as a run: ``predictions/``, ``ensemble.json`` (how, in plain numbers) and ``run.json``.

    Everything is fitted on the members' predictions of the split ``val``, and applied to every other split that all of
    them have predicted, but for those that hold validation photographs. Its own predictions of ``val`` are out of fold.
    The same call again predicts further splits by what was fitted.

    Args:
        folders: Runs, cross-validations and ensembles that were trained on one split; two or more, for ``eyes`` one.
        method: How to combine them.
        out: The ensemble's folder.

    Returns:
        The ensemble.

    Raises:
        ExperimentError: The members can't be combined, or ``out`` holds something else.
        JoinError: They haven't predicted the same photographs, or some of these have no grade.
        UsageError: Too few members, or too many.
    """
    if method == "eyes" and len(folders) != 1:
        raise UsageError("--method eyes is for one run: combine several by another method first, and then its eyes")
    if method != "eyes" and len(folders) < 2:
        raise UsageError(f"--method {method} wants two runs or more")
    members = read_members(folders)
    sources = tuple(
        FittedMember(
            name=member.name, folder=str(member.folder.resolve()), sha256=sha256(member.predictions_file("val"))
        )
        for member in members
    )
    run = Run(out)
    before = _begin(run, method, sources)
    validation = join_members(members, "val")
    quality = method == "eyes" and has_quality(validation.table)
    scores = validation.scores(_inputs(method, validation, quality))
    weights = class_weights(members, validation) if method == "recall" else None
    try:
        fitted = before or FittedCombination(
            members=sources,
            combination=fit_combination(method, scores, weights),
            quality=quality,
            image_ids=tuple(validation.table["image_id"]),
        )
        subsets = _subsets(members, scores)
        networks = {"val": _networks(validation, members, _validated(method, scores, weights, subsets))}
        others = sorted(set.intersection(*(member.splits for member in members)) - {"val"})
        without = {name: fit_combination(method, part, weights) for name, (part, _) in subsets.items() if others}
    except Undefined as reason:
        raise ExperimentError(f"--method {method}: {reason}") from None
    skipped = {}
    for split in others:
        joined = join_members(members, split)
        try:
            combined = {ALL: predict_ensemble(fitted, joined)}
        except UsageError as reason:
            skipped[split] = str(reason)
            continue
        for name, combination in without.items():
            combined[name] = combine_members(combination, joined.probabilities[:, subsets[name][1]])
        networks[split] = _networks(joined, members, combined)
    save_combination(fitted, run.ensemble_file)  # first: where this is cut off, the same call goes on
    for split, tables in networks.items():
        write_predictions(tables[ALL], run.predictions_file(split))
    run.write_record(_record(run, members, fitted, [*networks], skipped))
    return Ensemble(run, fitted, networks, skipped)


def predict_ensemble(fitted: FittedCombination, joined: JoinedPredictions) -> np.ndarray:
    """Applies an ensemble to photographs that it was not fitted on.

    Args:
        fitted: The ensemble.
        joined: What its members say of other photographs.

    Returns:
        Probabilities (N, 5).

    Raises:
        UsageError: It was fitted on some of them.
    """
    seen = joined.table["image_id"].isin(fitted.image_ids)
    if seen.any():
        raise UsageError(
            f"{seen.sum()} of the photographs were fitted on ({first_few(joined.table['image_id'][seen])}): "
            "an ensemble is judged on others"
        )
    return combine_members(fitted.combination, _inputs(fitted.combination.method, joined, fitted.quality))


def _begin(run: Run, method: Method, sources: tuple[FittedMember, ...]) -> FittedCombination | None:
    """Recognises the folder, and what was fitted before."""
    if not run.is_ensemble:
        if not is_free_folder(run.folder):
            raise ExperimentError(f"{run.folder} is not empty and no ensemble: choose another --out")
        return None
    fitted = load_combination(run.ensemble_file)
    known = [(source.name, source.sha256) for source in fitted.members]
    if fitted.combination.method != method or known != [(source.name, source.sha256) for source in sources]:
        raise ExperimentError(
            f"{run.folder} holds an ensemble of {', '.join(name for name, _ in known)} by {fitted.combination.method}, "
            "or their validation predictions are others now: choose another --out, or delete that folder"
        )
    return fitted


def _inputs(method: Method, joined: JoinedPredictions, quality: bool) -> np.ndarray:
    """Scores of the members, or of both eyes."""
    if method != "eyes":
        return joined.probabilities
    return both_eyes_scores(joined.with_probabilities(joined.probabilities[:, 0]), quality)


def _subsets(members: Sequence[EnsembleMember], scores: MemberScores) -> dict[str, tuple[MemberScores, np.ndarray]]:
    """Scores, and numbers, of all members but one; by its name. Of two, that would be the other one alone."""
    if len(members) < 3:
        return {}
    others = {f"without {member.name}": np.delete(np.arange(len(members)), left) for left, member in enumerate(members)}
    return {
        name: (MemberScores(scores.grades, scores.probabilities[:, kept], scores.patients), kept)
        for name, kept in others.items()
    }


def _validated(
    method: Method,
    scores: MemberScores,
    weights: np.ndarray | None,
    subsets: dict[str, tuple[MemberScores, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Out-of-fold probabilities of the ensemble, and of the ones without a member."""

    def fit_and_combine(seen: MemberScores, others: np.ndarray) -> np.ndarray:
        return combine_members(fit_combination(method, seen, weights), others)

    parts = {ALL: scores, **{name: part for name, (part, _) in subsets.items()}}
    return {name: out_of_fold_probabilities(part, fit_and_combine) for name, part in parts.items()}


def _networks(
    joined: JoinedPredictions, members: Sequence[EnsembleMember], combined: dict[str, np.ndarray]
) -> dict[str, pd.DataFrame]:
    """Tables of the ensemble, of the members alone, and of the ensembles without each."""
    alone = {f"{member.name} alone": joined.probabilities[:, place] for place, member in enumerate(members)}
    return {
        name: joined.with_probabilities(probabilities)
        for name, probabilities in {ALL: combined[ALL], **alone, **combined}.items()
    }


def _record(
    run: Run,
    members: Sequence[EnsembleMember],
    fitted: FittedCombination,
    splits: Sequence[str],
    skipped: dict[str, str],
) -> EnsembleRecord:
    data = members[0].data
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
                folder=str(member.folder.resolve()),
                cut_points=member.cut_points,
                predictions={split: sha256(member.predictions_file(split)) for split in splits},
            )
            for member in members
        ),
        predictions={split: HOW["val" if split == "val" else "others"] for split in splits},
        skipped=skipped,
        **provenance.provenance_record(),
    )
