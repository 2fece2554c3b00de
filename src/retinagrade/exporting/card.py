"""The model card: the metadata of a grader file as Markdown, for people."""

from __future__ import annotations

from retinagrade.grader.metadata import MeasuredMetrics, Metadata, MetricGain, Threshold, Verification


def model_card(metadata: Metadata, name: str) -> str:
    """Writes the model card of a grader file from its metadata.

    Source of the form: M. Mitchell et al., "Model cards for model reporting", FAT* 2019.

    Args:
        metadata: The metadata of the file.
        name: The file's name.

    Returns:
        Markdown.
    """
    lines = [
        f"# {name}",
        "",
        f"Experiment {metadata.name}, version {metadata.version}, exported {metadata.created}.",
        "",
        "> **Research software, not a medical device.**",
        "",
        *([] if metadata.licence is None else [f"Licence: {metadata.licence}", ""]),
        *("## Intended use", "", metadata.intended_use, ""),
        *("## Limitations", "", *(f"* {limitation}" for limitation in metadata.limitations), ""),
        *("## Training", "", *_training(metadata), ""),
        *("## Metrics", "", *_metrics(metadata)),
        *("## Decisions", "", *_decisions(metadata), ""),
        *_history(metadata),
        *("## Verification", "", *_verification(metadata), ""),
    ]
    return "\n".join(lines)


def change_lines(change: MeasuredMetrics) -> list[str]:
    """Formats differences of metrics, one line each: the difference and its 95 % interval."""
    lines = []
    for name, metric in change.metrics.items():
        value = "undefined" if metric.value is None else f"{metric.value:+.4f}"
        interval = "" if metric.interval is None else " ({:+.4f} to {:+.4f})".format(*metric.interval)
        lines.append(f"{name.replace('_', ' ')}: {value}{interval}")
    return lines


def _training(metadata: Metadata) -> list[str]:
    data, preparation = metadata.training_data, metadata.preparation
    counts = ", ".join(f"{count} {split}" for split, count in data.photographs.items() if count)
    weights = ", ".join(f"{name} {value}" for name, value in metadata.initial_weights.items())
    return [
        f"* Photographs: {', '.join(data.datasets) or 'unnamed data sets'}; {counts}; manifest SHA-256 "
        f"`{data.manifest_sha256[:12]}…`.",
        *([] if data.source is None else [f"* Source of the photographs: {data.source}"]),
        f"* Preparation: {preparation.size} px, contrast {preparation.contrast}, square {preparation.square}. Input "
        f"of the network: {metadata.image_size} px.",
        *_members(metadata),
        f"* Initial weights: {weights or 'random'}.",
    ]


def _members(metadata: Metadata) -> list[str]:
    lines = []
    if metadata.members:
        lines.append(
            f"* Ensemble: {metadata.output}. Its saliency map is the weighted mean of the members' maps, each divided "
            "by its largest value."
        )
    lines.extend(
        f"* Member `{member.name}`: version {member.version}, saliency weight {member.saliency_weight:.3f}."
        for member in metadata.members
    )
    if metadata.tta:
        lines.append("* Test-time augmentation: all outputs are means over four mirrored views of the photograph.")
    return lines


def _metrics(metadata: Metadata) -> list[str]:
    if metadata.cross_validation is not None:
        title = "Cross-validation (each photograph predicted by a network that was not trained on it)"
        lines = _metrics_table(title, metadata.cross_validation)
    else:
        lines = _metrics_table("Validation (the best epoch was chosen on these photographs)", metadata.validation)
    lines += _metrics_table("Test (nothing was chosen on these photographs)", metadata.test)
    for measured in metadata.elsewhere:
        lines += _metrics_table(f"Elsewhere ({measured.place})", measured)
    return (
        lines
        if metadata.elsewhere
        else [*lines, "Elsewhere, on photographs of other clinics and cameras: not stated.", ""]
    )


def _metrics_table(title: str, measured: MeasuredMetrics | None) -> list[str]:
    if measured is None:
        return [f"{title}: not measured.", ""]
    rows = [f"{title}: {measured.photographs} photographs.", "", "| | value | 95 % interval |", "|---|---|---|"]
    for name, metric in measured.metrics.items():
        value = "undefined" if metric.value is None else f"{metric.value:.3f}"
        interval = "–" if metric.interval is None else "{:.3f} to {:.3f}".format(*metric.interval)
        rows.append(f"| {name.replace('_', ' ')} | {value} | {interval} |")
    return [*rows, ""]


def _decisions(metadata: Metadata) -> list[str]:
    grades = ", ".join(f"{index} {label}" for index, label in enumerate(metadata.grades))
    undefined = metadata.undefined
    referable = _threshold(metadata.referable, undefined.get("referable"))
    vision_threatening = _threshold(metadata.vision_threatening, undefined.get("vision_threatening"))
    if metadata.prediction_sets is None:
        sets = f"none ({undefined.get('prediction_sets', 'not fitted')})"
    else:
        sets = f"should contain the true grade for {metadata.prediction_sets.coverage:.0%} of photographs"
    if metadata.review is None:
        review = f"no rule ({undefined.get('review', 'not fitted')})"
    else:
        review = (
            "a person should review a photograph if the probability of its most probable grade is below "
            f"{metadata.review.confidence:.3f} ({metadata.review.reviewed:.0%} of the photographs on which this "
            "was chosen), or if it is not gradable"
        )
    return [
        f"* Grades: {grades}.",
        f"* Calibration: softmax temperature {metadata.temperature:.4g}.",
        f"* Referable retinopathy: {referable}.",
        f"* Vision-threatening retinopathy: {vision_threatening}.",
        *_oedema(metadata),
        f"* Conformal prediction sets: {sets}.",
        *([] if metadata.site_temperature == 1 else [f"* Temperature of this site: {metadata.site_temperature:.4g}."]),
        f"* Review: {review}.",
        f"* Gate: no grade below a quality of {metadata.gate.reject_below:g}, and a warning below "
        f"{metadata.gate.usable_below:g} (set by {metadata.gate.origin}).",
    ]


def _history(metadata: Metadata) -> list[str]:
    if not metadata.history:
        return []
    lines = []
    for change in metadata.history:
        changed = ", ".join(change.changed).replace("_", " ")
        lines.append(f"* {change.date}: {changed} of version {change.version}, on {change.data}.")
        lines += [f"  {name.replace('_', ' ')}: {_gain(gain)}." for name, gain in change.gains.items()]
    note = "The metrics above describe the file before these changes, on the photographs of the makers."
    return ["## Changes after the export", "", *lines, "", note, ""]


def _gain(gain: MetricGain) -> str:
    if gain.before is None or gain.after is None:
        return "undefined"
    interval = "" if gain.interval is None else f" ({gain.interval[0]:+.3f} to {gain.interval[1]:+.3f})"
    return (
        f"{gain.before:.3f} before, {gain.after:.3f} after, a difference of {gain.after - gain.before:+.3f}{interval}, "
        "each photograph graded by a fit on other patients"
    )


def _oedema(metadata: Metadata) -> list[str]:
    if metadata.lesions is None:
        return []
    counts = (
        "A photograph is referable for it, too" if metadata.referral == "retinopathy-or-oedema" else "It is separate"
    )
    return [f"* Macular oedema: {_threshold(metadata.oedema, metadata.undefined.get('oedema'))}. {counts}."]


def _threshold(threshold: Threshold | None, reason: str | None) -> str:
    if threshold is None:
        return f"no threshold ({reason or 'not fitted'})"
    return (
        f"probability {threshold.threshold:.4g} or more; sensitivity {threshold.sensitivity:.3f} and specificity "
        f"{threshold.specificity:.3f} on the photographs on which this was chosen"
    )


def _verification(metadata: Metadata) -> list[str]:
    verification, change, lines = metadata.verification, metadata.change_from_float32, []
    if change is not None:
        lines = [
            f"The weights are stored in {metadata.precision}. Metrics of this file minus those of the same file in "
            f"float32, on {change.photographs} {metadata.comparison_split} photographs:",
            "",
            *(f"* {line}" for line in change_lines(change)),
            "",
        ]
    return [
        *lines,
        f"On {verification.photographs} photographs, the probabilities differ from those of the trained network by at "
        f"most {verification.max_probability_difference:.2g}. {describe_maps(verification)}",
    ]


def describe_maps(verification: Verification) -> str:
    """Describes how the maps of a file agree with those of its network."""
    if verification.min_saliency_correlation is not None:
        return (
            "The saliency maps correlate with the network's Grad-CAM maps by at least "
            f"{verification.min_saliency_correlation:.5f}."
        )
    return f"The probabilities of lesion maps differ by at most {verification.max_map_difference:.3f}."
