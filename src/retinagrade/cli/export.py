"""``retinagrade export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from retinagrade.cli.console import console, terminal_progress
from retinagrade.cli.options import MovedSetOption, OverwriteOption, TtaOption
from retinagrade.errors import UsageError


class WeightPrecision(StrEnum):
    """Number formats of the stored weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


def export(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="Folder of a trained run, an ensemble, or a gate (`train-gate`). Its prepared set must still exist. "
            "[default: the grader file of --model]",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Grader file to write; its name ends with .onnx. The model card has the same name with .md, and "
            "describes training data, metrics and limits.",
        ),
    ],
    precision: Annotated[
        WeightPrecision,
        typer.Option(
            help="Number format of the stored weights. float16 halves the file. int8 reduces it to a third or less, "
            "and changes more grades. The command measures the change of the metrics and writes it into the file."
        ),
    ] = WeightPrecision.FLOAT32,
    tta: TtaOption = False,
    cross_validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Calibrated cross-validation (`train --folds`) of the same experiment, for a run that was trained on "
            "all photographs; for a run that outlines lesions, its grade model (`fit-grades`). The file takes its "
            "calibration and its metrics from there.",
            show_default=False,
        ),
    ] = None,
    statements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file with the author's statements for the model card: licence, data_source, limitations.",
            show_default=False,
        ),
    ] = None,
    prepared: MovedSetOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Grader file to write anew with a site's own decisions, instead of RUN: those of --calibration, "
            "--gate or both. 'default' is the bundled one.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For --model: calibration that `calibrate RESULTS --grades LABELS` fitted on results of this file.",
            show_default=False,
        ),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For RUN: file of a gate, which `export` wrote of a run of `train-gate`. [default: the bundled gate] "
            "For --model: cut points of the gate, from `calibrate --quality`.",
            show_default=False,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a run as one grader file.

    A grader file is an ONNX file that `grade` and `serve` use without PyTorch. It holds the network, the preparation
    of photographs, the metrics, and the calibration of the run: run `calibrate` first. The command compares the file
    with the network on up to 16 photographs of the prepared set, and writes nothing unless they agree.

    With --model, the command writes a grader file anew with the temperature, the thresholds and the gate of a site. The
    network stays the same, and PyTorch isn't needed. The file gets a new version and remembers the change.

    A gate becomes an ONNX file of its own, without a model card; of the options, it takes --out and --overwrite only.

    Exit code 0: done; 2: the export was not possible.
    """
    of_run = precision != WeightPrecision.FLOAT32 or tta or cross_validation or statements or prepared
    if model is not None:
        if run is not None or of_run:
            raise UsageError("--model takes --calibration, --gate, --out and --overwrite only: leave out the rest")
        _localize(model, out, calibration, gate, overwrite)
        return
    if run is None or calibration is not None:
        raise UsageError("name a RUN to export, or a grader file with --model and --calibration or --gate")
    from retinagrade.exporting.card import change_lines, describe_maps
    from retinagrade.exporting.export import export as export_run
    from retinagrade.training.gate.run import GateRun

    if GateRun(run).is_gate:
        if of_run or gate is not None:
            raise UsageError("a gate takes --out and --overwrite only: leave the other options out")
        _export_gate(run, out, overwrite)
        return
    with terminal_progress() as progress:
        exported = export_run(
            run,
            out,
            precision=precision.value,
            tta=tta,
            cross_validation=cross_validation,
            statements=statements,
            prepared=prepared,
            gate=gate,
            overwrite=overwrite,
            progress=progress,
        )
    metadata, verification = exported.metadata, exported.metadata.verification
    printed = console()
    printed.print(
        f"compared with the network on {verification.photographs} photographs: probabilities differ by at most "
        f"{verification.max_probability_difference:.2g}. {describe_maps(verification)}",
    )
    if metadata.change_from_float32 is not None:
        printed.print(
            f"{precision.value} minus float32, on {metadata.change_from_float32.photographs} "
            f"{metadata.comparison_split} photographs:",
        )
        for line in change_lines(metadata.change_from_float32):
            printed.print(f"  {line}")
    for name, reason in metadata.undefined.items():
        printed.print(f"undefined: {name}: {reason}", style="dim")
    printed.print(f"wrote {exported.file} ({exported.size / 1e6:.1f} MB) and {exported.card}")


def _localize(model: str, out: Path, calibration: Path | None, gate: Path | None, overwrite: bool) -> None:
    from retinagrade.sites.localize import localize

    local = localize(model, out, calibration=calibration, gate=gate, overwrite=overwrite)
    change = local.metadata.history[-1]
    console().print(f"changed {', '.join(change.changed).replace('_', ' ')}; fitted on {change.data}")
    console().print(f"wrote {local.file} (version {local.metadata.version}) and {local.card}")


def _export_gate(run: Path, out: Path, overwrite: bool) -> None:
    from retinagrade.exporting.gate_export import export_gate

    with terminal_progress() as progress:
        exported = export_gate(run, out, overwrite=overwrite, progress=progress)
    printed = console()
    printed.print(
        f"file and network agree on {exported.photographs} pictures: probabilities differ by up to "
        f"{exported.max_difference:.1e}"
    )
    printed.print(f"wrote {exported.file} ({exported.file.stat().st_size / 1e6:.1f} MB)")
