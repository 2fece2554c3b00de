"""A grader file with a site's own temperature, thresholds and gate: the same network, another version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from retinagrade.arguments import check_arguments
from retinagrade.errors import CalibrationError, UsageError
from retinagrade.evaluation.fitting.calibration import Calibration, load_calibration
from retinagrade.gate.settings import GateSettings
from retinagrade.grader.metadata import BUNDLED, Metadata, with_gate
from retinagrade.grader.runtime import Grader
from retinagrade.messages import counted
from retinagrade.sites.local_file import LocalGrader, earlier_local, site_decisions, write_local
from retinagrade.storage.output_guard import guard_outputs


@check_arguments()
def localize(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    calibration: Calibration | str | os.PathLike[str] | None = None,
    gate: GateSettings | str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> LocalGrader:
    """Writes a grader file anew with a site's temperature, thresholds, prediction sets, review rule and gate.

    The network stays the same, to the byte, so no deep-learning framework is needed.

    Args:
        model: The grader file; ``default`` is the one that comes with the package.
        out: The file to write, ``.onnx``. The model card has the same name with the suffix ``.md``.
        calibration: A calibration, or its file, that was fitted on results of this grader file; ``None`` leaves the
            decisions as they are. Where the photographs don't tell the risk of macular oedema, its threshold stays.
        gate: Cut points of the gate, or their file; ``None`` leaves them as they are.
        overwrite: Whether to replace files that exist.

    Returns:
        The file, its card and its metadata.

    Raises:
        UsageError: There is nothing to change, ``out`` has another suffix, is an input, or exists.
        GraderFileError: The grader file can't be used.
        CalibrationError: The calibration is unreadable, was fitted on results of another grader file, or can't be in a
            grader file.
    """
    file, out = BUNDLED if os.fspath(model) == "default" else Path(model), Path(out)
    if out.suffix != ".onnx":
        raise UsageError(f"{out}: the name of a grader file must end in .onnx")
    if calibration is None and gate is None:
        raise UsageError("nothing to change: give a calibration, settings of the gate, or both")
    named = [Path(each) for each in (calibration, gate) if isinstance(each, str | os.PathLike)]
    before = Grader.load(file).metadata
    changes: dict[str, Any] = {}
    data: list[str] = []
    digests: tuple[str, ...] = ()
    settings = before.gate
    if gate is not None:
        settings = gate if isinstance(gate, GateSettings) else GateSettings.read(Path(gate))
        changes["gate"] = settings
        data.append(f"gate: {settings.origin}")
    fitted = None
    if calibration is not None:
        fitted = calibration if isinstance(calibration, Calibration) else load_calibration(Path(calibration))
        data.append(f"{counted(fitted.source.photographs, 'photograph')} of {Path(fitted.source.file).name}")
    described = "; ".join(data)
    guard_outputs(earlier_local(out, before, lambda text: text == described), [file, *named], overwrite)
    if fitted is not None:
        _require_same_grader(fitted, before, settings, file)
        changes |= site_decisions(fitted)
        changes["site_temperature"] = before.site_temperature * _temperature(fitted)
        digests = fitted.source.digests
    return write_local(file, out, before, changes, described, digests)


def _temperature(calibration: Calibration) -> float:
    """Returns the temperature by which the calibration changes the probabilities of the file."""
    if calibration.method == "isotonic":
        raise CalibrationError(
            f"the calibration on {calibration.source.file} is isotonic, but a grader file is calibrated by a "
            "temperature: fit it again with --method temperature"
        )
    return calibration.temperature.temperature if calibration.method == "temperature" else 1.0


def _require_same_grader(calibration: Calibration, metadata: Metadata, gate: GateSettings, file: Path) -> None:
    """Requires that the calibration was fitted on results of this file, whatever the gate's settings were."""
    of_results = calibration.source.grader_digest
    if of_results is None:
        raise CalibrationError(
            f"the calibration on {calibration.source.file} wasn't fitted on results of `grade`: fit one on the results "
            f"of {file}, with `retinagrade calibrate RESULTS --grades LABELS`"
        )
    settings = (metadata.gate, gate, metadata.gate.switched_off())
    if of_results not in {with_gate(metadata, each).digest for each in settings}:
        raise CalibrationError(
            f"the calibration on {calibration.source.file} was fitted on results of another grader file than {file}, "
            "or with settings of the gate that this file doesn't get: grade the photographs with this file, and fit it "
            "again"
        )
