"""Measures whether features of the whole photograph help the grades that read lesions.

python benchmarks/photograph_features.py PREPARED MAPS JUDGED

MAPS are maps of the folds of a cross-validation, and JUDGED is a folder of `fit-grades` that judged each family of
camera changes alone. The features are those of EfficientNet-Lite0 with the weights of ImageNet, frozen, at 448 px.
Logistic models of the features are fitted on unchanged photographs and on all families but one, and judged on this one,
over the same folds. Their logits are averaged with those of the lesions. The table gives the AUC of referable
retinopathy and the QWK by the weight of the features.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from retinagrade import LesionMaps
from retinagrade.datasets.prepared_set import prepared_digests, read_prepared
from retinagrade.evaluation.fitting.ordinal import fit_ordinal
from retinagrade.evaluation.metrics import confusion_matrix, quadratic_weighted_kappa, referable_auc
from retinagrade.evaluation.predictions import read_predictions
from retinagrade.grades import N_GRADES
from retinagrade.images.camera import CAMERA_CHANGES, CameraChange, apply_camera, camera_of, lit_region
from retinagrade.lesion_maps.grade_model import OrdinalModel
from retinagrade.manifest import Manifest
from retinagrade.models.network import scale_pixels
from retinagrade.models.settings import NetworkSettings
from retinagrade.models.weights import complete_settings, timm_backbone

_SIDE: Final = 448
_STRENGTH: Final = 1e-3
"""scikit-learn's C of the models of the features."""
_WEIGHTS: Final = (0.0, 0.1, 0.3)


def main() -> None:
    """Computes the features, fits, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("prepared", "maps", "judged"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    lesions = {each: _predictions(arguments.judged, each) for each in CAMERA_CHANGES}
    table = lesions[CAMERA_CHANGES[0]]
    image_ids, grades = table.index.astype(str).tolist(), table["grade"].to_numpy(np.int64)
    fold_of = LesionMaps(arguments.maps).record().photographs
    folds = np.array([fold_of[image_id] for image_id in image_ids])
    features = {each: _features(arguments.prepared, image_ids, each) for each in (None, *CAMERA_CHANGES)}
    print(f"{date.today():%-d %B %Y}, {len(image_ids)} photographs; AUC, QWK by the weight of the features\n")
    print("| unseen family |" + "".join(f" {weight:g} |" for weight in _WEIGHTS))
    print("|---" * (1 + len(_WEIGHTS)) + "|")
    for family in CAMERA_CHANGES:
        seen = [features[each] for each in features if each != family]
        of_features = _out_of_fold(seen, features[family], grades, folds)
        of_lesions = _logits(lesions[family].loc[image_ids])
        cells = [_cell(grades, (1 - weight) * of_lesions + weight * of_features) for weight in _WEIGHTS]
        print(f"| {family} | {' | '.join(cells)} |", flush=True)


def _predictions(judged: Path, family: CameraChange) -> pd.DataFrame:
    return read_predictions(judged / "predictions" / f"val-camera-{family}.csv").set_index("image_id")


@torch.inference_mode()
def _features(prepared: Path, image_ids: Sequence[str], family: CameraChange | None) -> NDArray[np.float64]:
    """Computes the features (N, 1280) of photographs as a made-up camera took them; without a family, as they are."""
    settings = complete_settings(
        NetworkSettings(backbone="tf_efficientnet_lite0", weights="imagenet", image_size=_SIDE)
    )
    assert settings.scaling is not None
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (settings.scaling.mean, settings.scaling.std))
    backbone = timm_backbone(settings).eval()
    paths = Manifest.read(prepared / "manifest.csv").table.set_index("image_id")["path"]
    digests, rows = prepared_digests(prepared), []
    for image_id in image_ids:
        pixels = read_prepared(prepared / str(paths[image_id]), digests[image_id])
        if family is not None:
            pixels = apply_camera(camera_of(image_id, [family]), pixels, lit_region(pixels))
        small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        scaled = scale_pixels(torch.from_numpy(np.asarray(small, np.uint8)).permute(2, 0, 1)[None], mean, std)
        rows.append(backbone.forward_features(scaled).mean((2, 3))[0].double().numpy())  # type: ignore[operator]
    return np.stack(rows)


def _out_of_fold(
    seen: Sequence[NDArray[np.float64]],
    judged: NDArray[np.float64],
    grades: NDArray[np.int64],
    folds: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Fits models of the features on the other folds; returns the logits (N, 4) of *grade 1 or more* and so on."""
    logits = np.zeros((len(grades), N_GRADES - 1))
    names = [str(number) for number in range(judged.shape[1])]
    for fold in np.unique(folds):
        others = folds != fold
        values, labels = np.concatenate([each[others] for each in seen]), np.tile(grades[others], len(seen))
        weights = np.full(len(labels), 1 / len(seen))  # each photograph counts once
        model = fit_ordinal(names, values, labels, N_GRADES - 1, [_STRENGTH] * (N_GRADES - 1), weights)
        logits[~others] = model.logits(judged[~others])
    return logits


def _logits(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """Returns the logits (N, 4) of *grade 1 or more*, *grade 2 or more* … of predictions."""
    probabilities = predictions[[f"p{grade}" for grade in range(N_GRADES)]].to_numpy(np.float64)
    reached = np.clip(1 - np.cumsum(probabilities, axis=1)[:, :-1], 1e-4, 1 - 1e-4)
    return np.asarray(np.log(reached / (1 - reached)))


def _cell(grades: NDArray[np.int64], logits: NDArray[np.float64]) -> str:
    levels = range(N_GRADES - 1)
    unchanged = OrdinalModel(
        names=tuple(str(level) for level in levels),
        means=(0.0,) * len(levels),
        deviations=(1.0,) * len(levels),
        weights=tuple(tuple(float(row == column) for column in levels) for row in levels),
        biases=(0.0,) * len(levels),
    )
    probabilities = unchanged.probabilities(logits)
    kappa = quadratic_weighted_kappa(confusion_matrix(grades, probabilities.argmax(axis=1)))
    return f"{referable_auc(grades, probabilities):.3f}, {kappa:.3f}"


if __name__ == "__main__":
    main()
