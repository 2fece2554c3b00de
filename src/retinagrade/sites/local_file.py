"""Writing a grader file anew for a site: the same network under another version, which remembers the change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinagrade.errors import GraderFileError
from retinagrade.evaluation.fitting.calibration import Calibration
from retinagrade.exporting.card import model_card
from retinagrade.exporting.decisions import describe_decisions
from retinagrade.grader.metadata import KEY, Change, Metadata, MetricGain, short_digest, with_digest
from retinagrade.grader.runtime import Grader
from retinagrade.grader.seal import read_sealed, sealed, without_seal
from retinagrade.provenance import utc_time
from retinagrade.storage.files import write_bytes, write_text
from retinagrade.storage.onnx_properties import with_property
from retinagrade.storage.output_guard import Output


@dataclass(frozen=True)
class LocalGrader:
    """A grader file with a site's own decisions.

    Attributes:
        file: The grader file.
        card: The model card.
        metadata: The metadata of the file; the last entry of their ``history`` describes the change.
    """

    file: Path
    card: Path
    metadata: Metadata


def site_decisions(calibration: Calibration) -> dict[str, Any]:
    """Returns the decisions of a site's calibration as fields of the metadata.

    A threshold that its photographs can't give leaves the file's own one, and so does oedema with the rule of referral.
    """
    changes = describe_decisions(calibration)
    for name in ("referable", "vision_threatening"):
        if changes[name] is None:
            del changes[name]
            changes["undefined"].pop(name, None)
    if calibration.oedema is None:
        del changes["oedema"], changes["referral"]
        changes["undefined"].pop("oedema", None)
    return changes


def earlier_local(out: Path, before: Metadata, is_same_data: Callable[[str], bool]) -> list[Output]:
    """Returns the outputs of :func:`write_local`, which an earlier call for the same photographs may have made.

    Args:
        out: The file to write.
        before: Metadata of the grader file.
        is_same_data: Whether a description of photographs in a file's history is that of the present ones.
    """

    def is_earlier() -> bool:
        try:
            *history, last = Grader.load(out).metadata.history
        except (GraderFileError, ValueError):
            return False
        return (tuple(history), last.version) == (before.history, before.version) and is_same_data(last.data)

    return [Output(out, False, is_earlier), Output(out.with_suffix(".md"), False, is_earlier)]


def write_local(
    file: Path,
    out: Path,
    before: Metadata,
    changes: Mapping[str, Any],
    data: str,
    digests: Iterable[str],
    gains: Mapping[str, MetricGain] | None = None,
) -> LocalGrader:
    """Writes a grader file with other metadata, and its model card beside it.

    Args:
        file: The grader file.
        out: The file to write, ``.onnx``.
        before: Metadata of ``file``.
        changes: New values of fields of the metadata.
        data: The photographs that they were fitted on, in words.
        digests: SHA-256 digests of their files, as far as they are known.
        gains: Metrics of these photographs before and after the change, by name.

    Returns:
        The file, its card and its metadata.
    """
    change = Change(
        date=utc_time(),
        version=before.version,
        changed=tuple(
            sorted(name for name in changes if changes[name] != getattr(before, name) and name != "undefined")
        ),
        data=data,
        gains={} if gains is None else dict(gains),
        digests=tuple(sorted(map(short_digest, digests))),
    )
    local = before.model_copy(update=changes)
    mark = hashlib.sha256(local.model_dump_json().encode()).hexdigest()[:8]
    version = f"{before.version.partition('-local-')[0]}-local-{mark}"
    local = local.model_copy(update={"version": version, "history": (*before.history, change)})
    content = with_property(without_seal(read_sealed(file)), KEY, local.model_dump_json())
    write_bytes(out, sealed(content))
    local, card = with_digest(local, content), out.with_suffix(".md")
    write_text(card, model_card(local, out.name))
    return LocalGrader(out, card, local)
