"""The parts of a run that become a grader file: its networks, its calibration and its photographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from retinagrade.ensembles.combination import Combination, WeightedMean, load_combination
from retinagrade.errors import ExperimentError, GraderFileError, ManifestError
from retinagrade.evaluation.fitting.calibration import Calibration, load_calibration
from retinagrade.grader.metadata import LesionMetadata, PreparationMetadata
from retinagrade.manifest import Manifest
from retinagrade.models.lesion_network import LesionNetwork
from retinagrade.models.network import Network
from retinagrade.runs.cross_validation import CrossValidation
from retinagrade.runs.fit_grades import load_grade_model
from retinagrade.runs.lesion_maps import LesionMaps
from retinagrade.runs.run import Run
from retinagrade.storage.files import sha256
from retinagrade.storage.output_guard import path_from_folder
from retinagrade.training.checkpoints import load_lesion_network, load_network


@dataclass(frozen=True)
class SingleNetwork:
    """A trained network.

    Attributes:
        run: The run that trained it.
        network: The network with the weights of its best epoch, in evaluation mode.
        image_size: Side of its square input, in pixels.
    """

    run: Run
    network: Network
    image_size: int


@dataclass(frozen=True)
class EnsembleNetworks:
    """The members of an ensemble and the rule that combines them.

    Attributes:
        names: Names of the members in the ensemble.
        members: The members, in the order of the combination's parameters.
        combination: The rule that combines their probabilities.
    """

    names: tuple[str, ...]
    members: tuple[Networks, ...]
    combination: Combination

    @property
    def saliency_weights(self) -> tuple[float, ...]:
        """Weights of the members' saliency maps: the weights of the combination if it has any, else equal ones."""
        if isinstance(self.combination, WeightedMean):
            return self.combination.weights
        return (1 / len(self.members),) * len(self.members)


@dataclass(frozen=True)
class OutliningNetwork:
    """A trained network that outlines lesions, and the grade model that reads its maps.

    Attributes:
        network: The network, in evaluation mode.
        grades: The run of the grade model.
        lesions: The grade model, as the file holds it.
    """

    network: LesionNetwork
    grades: Run
    lesions: LesionMetadata


Networks = SingleNetwork | EnsembleNetworks


@dataclass(frozen=True)
class NamedNetwork:
    """A network and its place in the ensemble.

    Attributes:
        name: Names of the members that lead to it, joined by ``/``; empty for a single network.
        saliency_weight: Weight of its saliency map in the ensemble's.
        network: The network.
    """

    name: str
    saliency_weight: float
    network: SingleNetwork


@dataclass(frozen=True)
class Exportable:
    """The parts of a run that become a grader file.

    Attributes:
        run: The run or ensemble.
        networks: Its network, its members and the rule that combines them, or its network that outlines lesions.
        preparation: Preparation of its training photographs.
        image_size: Side of the photographs that the file takes, in pixels.
        manifest: The photographs with the split that the run was trained on; paths are relative to its prepared set.
        calibration: The calibration of its predictions; ``None`` if there is none.
        cross_validation: A cross-validation that provides calibration and metrics for a run on all photographs;
            ``None`` for none.
        tta: Whether all outputs are means over four mirrored views (test-time augmentation).
    """

    run: Run
    networks: Networks | OutliningNetwork
    preparation: PreparationMetadata
    image_size: int
    manifest: Manifest
    calibration: Calibration | None
    cross_validation: CrossValidation | None
    tta: bool

    @property
    def temperature(self) -> float:
        """Softmax temperature of the calibration; 1 for none."""
        if self.calibration is None or self.calibration.method == "none":
            return 1.0
        return self.calibration.temperature.temperature

    @property
    def comparison(self) -> Manifest:
        """The photographs on which the file is compared with the network: validation, or else training photographs."""
        return self.manifest.split("val" if self.run.record().data.photographs.get("val") else "train")


def read_exportable(run: Run, *, tta: bool = False, cross_validation: CrossValidation | None = None) -> Exportable:
    """Reads the parts of a run that become a grader file.

    Args:
        run: A trained run or an ensemble.
        tta: Whether the file will average over mirrored views.
        cross_validation: A cross-validation that provides calibration and metrics for a run on all photographs.

    Raises:
        GraderFileError: The networks or the calibration can't be in one file.
        ExperimentError: A run can't be read.
        ManifestError: The prepared set is missing or was changed after the training.
    """
    calibration = _read_calibration(run if cross_validation is None else Run(cross_validation.folder), tta)
    if run.has_network and run.experiment().outlines_lesions:
        return _read_outlining(run, tta, cross_validation, calibration)
    networks, manifest = read_networks(run), _read_training_manifest(run)
    preparation = _common_preparation(networks)
    image_size = _input_size(networks, preparation)
    return Exportable(run, networks, preparation, image_size, manifest, calibration, cross_validation, tta)


def _read_outlining(
    run: Run, tta: bool, cross_validation: CrossValidation | None, calibration: Calibration | None
) -> Exportable:
    """Reads the parts of a run that outlines lesions, and its grade model."""
    grades, lesions = _require_grade_model(run, cross_validation)
    if tta:
        raise GraderFileError("a grader file that outlines lesions has no mirrored views: export it without --tta")
    preparation, size = run.preparation(), run.experiment().network.image_size
    if preparation.size != size:
        raise GraderFileError(
            f"{run.folder} was trained on photographs of {preparation.size} px, but its network takes {size} px, and a "
            "lesion must be as large in both: prepare the set at the size of the network"
        )
    return Exportable(
        run,
        OutliningNetwork(load_lesion_network(run), grades, lesions),
        PreparationMetadata.model_validate(asdict(preparation)),
        size,
        _read_training_manifest(run),
        calibration,
        cross_validation,
        tta,
    )


def _require_grade_model(run: Run, grades: CrossValidation | None) -> tuple[Run, LesionMetadata]:
    """Returns the grade model that belongs to a network that outlines lesions, as a run and as the file holds it."""
    if grades is None or not Run(grades.folder).is_grade_model:
        raise ExperimentError(
            f"{run.folder} outlines lesions and grades nothing by itself: name the folder of its grade model with "
            "--cross-validation; `retinagrade fit-grades` makes it"
        )
    fitted = Run(grades.folder)
    record = fitted.grade_model_record()
    folds = CrossValidation(LesionMaps(path_from_folder(record.maps[0], fitted.folder)).run)
    if folds.fold(0).experiment() != run.experiment():
        raise ExperimentError(
            f"{fitted.folder} was fitted on maps of another experiment than that of {run.folder}: cross-validate and "
            "train the same experiment with the same settings"
        )
    model = load_grade_model(fitted)
    networks = tuple(digest[:12] for digest in record.networks)
    return fitted, LesionMetadata(model=model, networks=networks)


def read_networks(run: Run) -> Networks:
    """Reads the networks of a run or an ensemble.

    Raises:
        GraderFileError: A member changed after it was combined, or can't grade a single photograph.
        ExperimentError: A run can't be read.
    """
    if not run.is_ensemble:
        return SingleNetwork(run, load_network(run), run.experiment().network.image_size)
    fitted = load_combination(run.ensemble_file)
    if fitted.combination.method == "eyes":
        raise GraderFileError(
            f"{run.folder} combines the two eyes of a patient, but a grader file grades single photographs: export "
            f"{path_from_folder(fitted.members[0].folder, run.folder)}"
        )
    members = []
    for source in fitted.members:
        member = Run(path_from_folder(source.folder, run.folder))
        if CrossValidation(member.folder).is_cross_validation:
            raise GraderFileError(
                f"{run.folder}: its member {source.name} is a cross-validation. Its folds were evaluated one by one "
                "and can't grade new photographs together: combine trained runs"
            )
        file = member.predictions_file("val")
        if not file.is_file() or sha256(file) != source.sha256:
            raise GraderFileError(
                f"{run.folder}: the validation predictions of its member {source.name} in {member.folder} are missing "
                "or were changed after the members were combined: repeat `retinagrade ensemble`"
            )
        members.append(read_networks(member))
    return EnsembleNetworks(tuple(source.name for source in fitted.members), tuple(members), fitted.combination)


def list_networks(networks: Networks, name: str = "", weight: float = 1.0) -> Iterator[NamedNetwork]:
    """Lists all networks, including those of ensembles within an ensemble.

    Args:
        networks: A network or an ensemble.
        name: Its name within the ensemble that it belongs to.
        weight: Weight of its saliency map within that ensemble.
    """
    if isinstance(networks, SingleNetwork):
        yield NamedNetwork(name, weight, networks)
        return
    members = zip(networks.names, networks.saliency_weights, networks.members, strict=True)
    for member_name, member_weight, member in members:
        yield from list_networks(member, f"{name}/{member_name}".lstrip("/"), weight * member_weight)


def _common_preparation(networks: Networks) -> PreparationMetadata:
    """Returns the preparation of the training photographs, which must be the same for all networks.

    Raises:
        GraderFileError: The networks were trained on photographs that were prepared differently.
    """
    preparations = {named.name: named.network.run.preparation() for named in list_networks(networks)}
    (first, preparation), *rest = preparations.items()
    for name, different in rest:
        if different != preparation:
            raise GraderFileError(
                f"{first} was trained on photographs prepared with {preparation}, but {name} with {different}. A "
                "grader file prepares a photograph only once: train the members on one prepared set"
            )
    return PreparationMetadata.model_validate(asdict(preparation))


def _input_size(networks: Networks, preparation: PreparationMetadata) -> int:
    """Returns the side of the photographs that the file takes, in pixels.

    It is the networks' input size if all have the same, else the size of the prepared photographs, from which the graph
    makes each network's input.

    Raises:
        GraderFileError: The networks have different input sizes, and one is larger than the prepared photographs.
    """
    names = {named.network.image_size: named.name for named in list_networks(networks)}
    if len(names) == 1:
        return next(iter(names))
    if max(names) > preparation.size:
        raise GraderFileError(
            f"{names[max(names)]} takes photographs of {max(names)} px, another member takes {min(names)} px, and the "
            f"photographs were prepared at {preparation.size} px. A graph can shrink photographs exactly as `prepare` "
            f"does, but can't enlarge them: prepare at {max(names)} px or more and train again, or combine networks "
            "with the same input size"
        )
    return preparation.size


def _read_calibration(run: Run, tta: bool) -> Calibration | None:
    """Reads the calibration of a run, which must fit the predictions of the file.

    Args:
        run: A run; for a run on all photographs, the folder of its cross-validation.
        tta: Whether the file will average over mirrored views.

    Returns:
        The calibration; ``None`` if the run was not calibrated.

    Raises:
        GraderFileError: The calibration is isotonic, or was fitted on predictions with a different ``tta``.
    """
    if not run.calibration_file.is_file():
        return None
    calibration = load_calibration(run.calibration_file)
    if calibration.method == "isotonic":
        raise GraderFileError(
            f"{run.calibration_file} is isotonic, but a grader file is calibrated by a temperature: run `retinagrade "
            f"calibrate {run.folder}` without --method"
        )
    if Path(calibration.source.file).stem.endswith("-tta") != tta:
        predictions = run.predictions_file("val-tta") if tta else run.folder
        raise GraderFileError(
            f"{run.calibration_file} was fitted on {calibration.source.file}, but probabilities are different "
            f"{'with' if tta else 'without'} --tta: run `retinagrade calibrate {predictions}`"
        )
    return calibration


def _read_training_manifest(run: Run) -> Manifest:
    """Reads the photographs with the split that the run was trained on; paths are relative to its prepared set.

    Raises:
        ManifestError: The manifest is missing or was changed after the training.
    """
    file = run.split_file
    if not file.is_file() or sha256(file) != run.record().data.manifest_sha256:
        raise ManifestError(
            f"{file} is missing or was changed after {run.folder} was trained on it. A grader file is only written "
            "after it was compared with the network on photographs of that manifest: name the prepared set with "
            "--prepared if it was moved; else restore it, or train again"
        )
    return Manifest(Manifest.read(file).table, run.prepared)
