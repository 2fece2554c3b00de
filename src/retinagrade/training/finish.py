"""The end of a run: predictions of the validation photographs, cut points of a regression, and the complete record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from retinagrade import provenance
from retinagrade.evaluation.lesion_counts import encode_counts
from retinagrade.evaluation.predictions import write_predictions
from retinagrade.evaluation.report.plots import figure_png, training_curves
from retinagrade.execution.progress import Progress
from retinagrade.experiments.experiment import Experiment
from retinagrade.grades import PROBABILITY_COLUMNS
from retinagrade.manifest import Manifest
from retinagrade.models.cut_points import fit_cut_points
from retinagrade.models.network import Network, count_parameters
from retinagrade.models.outputs import RegressionOutput
from retinagrade.runs.predictions import PREDICT
from retinagrade.runs.records import FinishedTraining, KeptEpoch, ParameterCounts
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256, write_bytes, write_json
from retinagrade.storage.output_guard import write_origin
from retinagrade.training.checkpoints import load_lesion_network, load_network
from retinagrade.training.data import TrainingData
from retinagrade.training.devices import lightning_precision
from retinagrade.training.distributed import Devices
from retinagrade.training.features import cache_folder, feature_loaders
from retinagrade.training.lesions.predict import count_photographs
from retinagrade.training.module import validation_metrics
from retinagrade.training.predict import RawBatch, predict_batches, predict_photographs, predictions_table


def finish_run(
    run: Run,
    experiment: Experiment,
    data: TrainingData,
    *,
    workers: int,
    devices: Devices,
    progress: Progress | None = None,
) -> None:
    """Predicts the validation photographs with the epoch that was kept, and completes the run's record.

    Args:
        run: The run, whose epochs are all trained.
        experiment: The experiment, as :func:`~retinagrade.training.start.complete_experiment` returns it.
        data: The photographs that it was trained and validated on.
        workers: Processes that load photographs.
        devices: The devices that it was trained on.
        progress: Receives the progress.
    """
    history = run.history()
    write_bytes(run.folder / "curves.png", figure_png(training_curves(history, experiment.network.loss)))
    kept = history[history["kept"]].iloc[0]
    metrics = {name: float(kept[name]) for name in KeptEpoch.model_fields if name in kept}
    network: nn.Module
    if experiment.outlines_lesions:
        network = load_lesion_network(run)
        if len(data.validation):
            counts = count_photographs(network, data.validation, experiment, workers, progress)
            write_bytes(run.lesion_counts_file("val"), encode_counts(counts))
    else:
        network = load_network(run)
    if isinstance(network, Network) and len(data.validation):
        predictions = _predict_validation(run, network, experiment, data, workers, progress)
        write_origin(run.predictions_file("val"), PREDICT, [data.prepared, run.folder])
        write_predictions(predictions, run.predictions_file("val"))
        if run.output_file.is_file():  # its history was written before the cut points were fitted
            predicted = predictions[list(PROBABILITY_COLUMNS)].to_numpy().argmax(axis=1)
            metrics |= validation_metrics(predictions["grade"].to_numpy(dtype=np.int64), predicted)
    total, trainable = count_parameters(network)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    started = run.training_record()
    finished = FinishedTraining(
        experiment=started.experiment,
        data=started.data,
        start=started.start,
        parameters=ParameterCounts(total=total, trainable=trainable),
        epochs=len(history),
        kept=KeptEpoch.model_validate({name: _defined(value) for name, value in metrics.items()}),
        checkpoint_sha256=sha256(run.best_checkpoint),
        training_seconds=float(history["seconds"].sum()),
        devices=device if devices.count == 1 else f"{devices.count} × {device}",
        precision=lightning_precision(experiment.training.precision),
        **provenance.provenance_record(),
    )
    run.write_record(finished)


def _predict_validation(
    run: Run, network: Network, experiment: Experiment, data: TrainingData, workers: int, progress: Progress | None
) -> pd.DataFrame:
    """Predicts the validation photographs; a regression by cut points that are fitted on them first."""
    cache = cache_folder(data.training.root, run.folder)
    loaders = feature_loaders(network, data.training, data.validation, experiment, workers, cache, progress=progress)
    batches = list(
        predict_photographs(network, experiment, data.validation, workers, progress=progress)
        if loaders is None
        else predict_batches(network, loaders[1], experiment.training.batch_size)
    )
    if experiment.network.output == "regression":
        network.output = _fit_output(run, batches, data.validation)
    return predictions_table(network.output, batches, data.validation)


def _fit_output(run: Run, batches: list[RawBatch], validation: Manifest) -> RegressionOutput:
    """Fits the cut points of a regression on its validation predictions, and stores them in the run."""
    grades = validation.table.set_index("image_id")["grade"]
    image_ids = [image_id for batch, _ in batches for image_id in batch]
    predicted = torch.cat([numbers[:, 0] for _, (numbers,) in batches]).double().cpu().numpy()
    cut_points = fit_cut_points(predicted, grades.loc[image_ids].to_numpy(dtype=np.int64))
    write_json(run.output_file, cut_points.model_dump(mode="json"))
    return RegressionOutput(cut_points)


def _defined(value: Any) -> float | None:
    """Returns a metric for JSON, which has no NaN; QWK is undefined where all photographs have one grade."""
    return None if pd.isna(value) else float(value)
