"""The model card: what a grader file says of itself, as Markdown for people."""

from __future__ import annotations

from retinagrade.grader.metadata import MeasuredMetrics, Metadata, Threshold


def model_card(metadata: Metadata, file: str) -> str:
    """The model card of a file, from its metadata alone.

    Source of the form: M. Mitchell et al., "Model cards for model reporting", FAT* 2019.

    Args:
        metadata: Of the file.
        file: Its name.
    """
    data, prepared = metadata.training_data, metadata.preparation
    lines = [
        f"# {file}",
        "",
        f"{metadata.name}, version {metadata.version}, exported {metadata.created}.",
        "",
        "> **Research software, not a medical device.**",
        "",
        *([] if metadata.licence is None else [f"Licence: {metadata.licence}", ""]),
        "## Intended use",
        "",
        metadata.intended_use,
        "",
        "## Limits",
        "",
        *(f"* {limit}" for limit in metadata.limits),
        "",
        "## Photographs",
        "",
        f"* Learnt from: {', '.join(data.datasets) or 'data sets without names'}; "
        + ", ".join(f"{count} {split}" for split, count in data.photographs.items() if count)
        + f"; manifest `{data.manifest_sha256[:12]}`.",
        *([] if data.source is None else [f"* Their source: {data.source}"]),
        f"* Prepared: {prepared.size} px, contrast {prepared.contrast}, square {prepared.square}; "
        f"the network sees {metadata.image_size} px.",
        *_members(metadata),
        "* First weights: "
        + (", ".join(f"{name} {value}" for name, value in metadata.weights.items()) or "drawn at random")
        + ".",
        "",
        "## Measured",
        "",
        *(
            _measured("Validation (the epoch was chosen on these)", metadata.validation)
            if metadata.cross_validated is None
            else _measured("Cross-validated (by networks that had not seen them)", metadata.cross_validated)
        ),
        *_measured("Test (nothing was chosen on these)", metadata.test),
        "## Decisions",
        "",
        f"Temperature {metadata.temperature:.4g}. Grades: "
        + ", ".join(f"{index} {label}" for index, label in enumerate(metadata.grades))
        + ".",
        "",
        *_threshold("referable", metadata.referable, metadata.undefined),
        *_threshold("vision_threatening", metadata.vision_threatening, metadata.undefined),
        "* Sets of grades: "
        + (
            metadata.undefined.get("conformal", "none")
            if metadata.conformal is None
            else f"hold the right one in {metadata.conformal.coverage:g} of photographs"
        ),
        "* A person looks: "
        + (
            metadata.undefined.get("referral", "no rule")
            if metadata.referral is None
            else f"below a confidence of {metadata.referral.confidence:.3f}, {metadata.referral.referred:.0%} of the "
            "photographs that this was chosen on; and wherever a photograph is not gradable"
        ),
        "",
        "## Proof",
        "",
        *_changed(metadata),
        f"On {metadata.proof.photographs} photographs, its probabilities are within {metadata.proof.probabilities:.2g} "
        f"of those of the trained network, and its evidence correlates with Grad-CAM by {metadata.proof.evidence:.5f} "
        "or more.",
        "",
    ]
    return "\n".join(lines)


def _members(metadata: Metadata) -> list[str]:
    lines = [f"* Network `{one.name}` ({one.version}): {one.evidence:.3f} of the evidence." for one in metadata.members]
    if metadata.members:
        lines.insert(0, f"* An ensemble: {metadata.output}. Evidence is the mean of theirs, each by its largest value.")
    if metadata.flips:
        lines.append("* All is the mean over four mirrored views of the photograph.")
    return lines


def _measured(what: str, measured: MeasuredMetrics | None) -> list[str]:
    if measured is None:
        return [f"{what}: none.", ""]
    rows = [f"{what}: {measured.photographs} photographs.", "", "| | value | 95 % interval |", "|---|---|---|"]
    for name, figure in measured.figures.items():
        value = "undefined" if figure.value is None else f"{figure.value:.3f}"
        around = "–" if figure.interval is None else "{:.3f} to {:.3f}".format(*figure.interval)
        rows.append(f"| {name.replace('_', ' ')} | {value} | {around} |")
    return [*rows, ""]


def _changed(metadata: Metadata) -> list[str]:
    if metadata.change is None:
        return []
    return [
        f"Its weights are kept in {metadata.precision}. Figures less those of the same file in float32, on "
        f"{metadata.change.photographs} {metadata.compared_on} photographs:",
        "",
        *(f"* {line}" for line in change_lines(metadata.change)),
        "",
    ]


def change_lines(measured: MeasuredMetrics) -> list[str]:
    """Lines of changed figures, for people."""
    lines = []
    for name, figure in measured.figures.items():
        value = "undefined" if figure.value is None else f"{figure.value:+.4f}"
        around = "" if figure.interval is None else " ({:+.4f} to {:+.4f})".format(*figure.interval)
        lines.append(f"{name.replace('_', ' ')}: {value}{around}")
    return lines


def _threshold(name: str, point: Threshold | None, undefined: dict[str, str]) -> list[str]:
    title = name.replace("_", "-")
    if point is None:
        return [f"* {title}: no threshold ({undefined.get(name, 'none was fitted')})"]
    return [
        f"* {title}: from probability {point.threshold:.4g} on; sensitivity {point.sensitivity:.3f}, specificity "
        f"{point.specificity:.3f} on the photographs that it was chosen on"
    ]
