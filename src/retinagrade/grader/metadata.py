"""The metadata of a grader file: everything that a person or a program must know to use the file and to judge it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from retinagrade.errors import GraderFileError, describe_validation_error
from retinagrade.gate.settings import GateSettings
from retinagrade.grades import N_GRADES
from retinagrade.gradings.grading import SeenBefore
from retinagrade.images.prepare import Contrast, PreparationSettings, Square
from retinagrade.lesion_maps.grade_model import GradeModel
from retinagrade.storage.yaml_files import read_yaml

KEY: Final = "retinagrade"
"""Key of the metadata in the ONNX file's ``metadata_props``; the value is JSON."""
BUNDLED: Final = Path(__file__).with_name("default.onnx")
"""The grader that comes with the package; ``make default-grader`` builds it."""
Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(ge=0)]
Precision = Literal["float32", "float16", "int8"]
"""Number format of the stored weights. With int8, the convolutions are computed in 8-bit integers, too."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PreparationMetadata(_Part):
    """Preparation of the training photographs; see :class:`retinagrade.images.prepare.PreparationSettings`."""

    size: PositiveInt
    contrast: Contrast
    square: Square
    recipe: Literal[1]

    def settings(self) -> PreparationSettings:
        """Returns the same settings for :func:`retinagrade.images.prepare.prepare_photograph`."""
        return PreparationSettings(**self.model_dump())


class Threshold(_Part):
    """A photograph is positive if its probability, such as the sum over the positive grades, is ``threshold`` or more.

    Attributes:
        threshold: Least probability.
        rule: Rule by which the threshold was chosen.
        target: Sensitivity or specificity that the rule aimed at; ``None`` for rules without a target.
        sensitivity: Sensitivity on the photographs on which the threshold was chosen.
        specificity: Specificity on the same photographs.
        positives: Number of these photographs with the disease; ``None`` where the file doesn't state it.
        negatives: Number of the others.
    """

    threshold: Limit
    rule: str
    target: Share | None
    sensitivity: Share
    specificity: Share
    positives: PositiveInt | None = None
    negatives: PositiveInt | None = None


class PredictionSetsMetadata(_Part):
    """Conformal prediction sets: sets of grades that contain the true grade with a chosen probability.

    Attributes:
        coverage: Share of photographs whose set should contain the true grade.
        limits: Highest score with which each grade is included; ``None`` for a grade that is always included.
    """

    coverage: Share
    limits: tuple[Limit | None, ...] = Field(min_length=N_GRADES, max_length=N_GRADES)


class ReviewRule(_Part):
    """A person should review a photograph if the probability of its most probable grade is below ``confidence``.

    Attributes:
        confidence: Least probability of the most probable grade that needs no review.
        target: Share of photographs that should be reviewed.
        reviewed: Share that would have been reviewed among the photographs on which the rule was fitted.
    """

    confidence: Share
    target: Share
    reviewed: Share


class MetricValue(_Part):
    """The value of a metric and its 95 % confidence interval; ``None`` where undefined."""

    value: float | None
    interval: tuple[float, float] | None


class MeasuredMetrics(_Part):
    """Metrics measured on a set of photographs.

    Attributes:
        photographs: Number of photographs.
        metrics: Metrics by name.
    """

    photographs: PositiveInt
    metrics: dict[str, MetricValue]


class MeasuredElsewhere(MeasuredMetrics):
    """Metrics measured on photographs of another clinic or camera than those of the training.

    Attributes:
        place: The clinic or the data set, in words.
    """

    place: str


class AuthorStatements(_Part):
    """Statements about a grader file that only its author can make.

    Attributes:
        licence: Licence of the file.
        data_source: Origin, licence and attribution of the training photographs.
        limitations: Known limitations, in addition to those that hold for every grader file.
        elsewhere: Metrics that were measured with this very network on photographs of other clinics and cameras.
    """

    licence: str | None = None
    data_source: str | None = None
    limitations: tuple[str, ...] = ()
    elsewhere: tuple[MeasuredElsewhere, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads statements from a YAML file.

        Raises:
            GraderFileError: The file is not readable YAML or has unknown keys.
        """
        values = read_yaml(path, "statements for a model card", GraderFileError)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise GraderFileError(
                f"{path} may hold licence, data_source, limitations and elsewhere:\n  "
                f"{describe_validation_error(error, cls)}"
            ) from None


class TrainingDataMetadata(_Part):
    """The photographs of the run that was exported.

    Attributes:
        datasets: Names of the data sets; empty if unknown.
        photographs: Number of photographs by split.
        source: Origin, licence and attribution, if the author stated them.
        manifest_sha256: SHA-256 digest of the manifest.
        digests: :func:`short_digest` of the file of each training and validation photograph; empty if unknown.
    """

    datasets: tuple[str, ...]
    photographs: dict[str, int]
    source: str | None = None
    manifest_sha256: str
    digests: tuple[str, ...] = ()


class Verification(_Part):
    """Agreement of the file's outputs with the outputs of the network that it was exported from.

    Attributes:
        photographs: Number of photographs that were compared.
        max_probability_difference: Largest absolute difference of a probability.
        min_saliency_correlation: Lowest Pearson correlation of two saliency maps; ``None`` for a file with lesion maps.
        max_map_difference: Largest absolute difference of a lesion map's pixel, 0 to 1; ``None`` for a file without.
    """

    photographs: PositiveInt
    max_probability_difference: float
    min_saliency_correlation: float | None = None
    max_map_difference: float | None = None


class MemberMetadata(_Part):
    """One network of an ensemble.

    Attributes:
        name: Name of the member in the ensemble.
        version: First digits of the SHA-256 digest of its weights.
        saliency_weight: Its weight in the ensemble's saliency maps.
    """

    name: str
    version: str
    saliency_weight: Share


class LesionMetadata(_Part):
    """The part of a grader file that reads lesion maps.

    Attributes:
        model: The grade model, which turns plain numbers of the lesions into probabilities.
        networks: First digits of the SHA-256 digests of the cross-validated networks whose maps the model was fitted
            on. They outlined photographs that they had not seen.
    """

    model: GradeModel
    networks: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesions, in the order of the maps."""
        return self.model.kinds


class MetricGain(_Part):
    """A metric before and after a change, on photographs of patients that the changed part was not fitted on.

    Attributes:
        before: The metric of the file before; ``None`` where undefined.
        after: The metric after the change.
        interval: 95 % interval of the difference.
    """

    before: float | None
    after: float | None
    interval: tuple[float, float] | None


class Change(_Part):
    """A change of a grader file's decisions after its export.

    Attributes:
        date: UTC time of the change.
        version: Version of the file before.
        changed: Names of the fields that were set.
        data: The photographs that they were fitted on.
        gains: Cross-validated metrics of these photographs before and after an adaptation, by name.
        digests: :func:`short_digest` of the file of each of these photographs; empty if unknown.
    """

    date: str
    version: str
    changed: tuple[str, ...]
    data: str
    gains: dict[str, MetricGain] = {}
    digests: tuple[str, ...] = ()


class Metadata(_Part):
    """The metadata of a grader file.

    Attributes:
        schema_version: Version of this schema.
        name: Name of the experiment.
        version: First digits of the SHA-256 digest of the weights, followed by the export options that differ from the
            defaults.
        created: UTC time of the export.
        grades: Labels of the grades, in the order of the probabilities.
        image_size: Side of the square input, in pixels.
        preparation: Preparation of a photograph before it is given to the graph.
        output: Meaning of the network's raw outputs; for an ensemble, how its members are combined.
        lesions: The part that reads lesion maps; ``None`` for a network that computes probabilities itself.
        members: The networks of an ensemble; empty for a single network.
        tta: True if all outputs are means over four mirrored views of the photograph (test-time augmentation).
        precision: Number format of the stored weights.
        temperature: Softmax temperature of the calibration; 1 if none was fitted. It is built into the graph, unless
            the file reads lesion maps.
        site_temperature: Further temperature of all probabilities, fitted on a site's own photographs; 1 if none was.
        referable: Threshold of referable retinopathy.
        vision_threatening: Threshold of vision-threatening retinopathy.
        oedema: Threshold of the probability of macular oedema, for a file that reads lesion maps.
        referral: A photograph is referable for referable retinopathy alone, or for that or macular oedema.
        prediction_sets: Conformal prediction sets.
        review: Rule by which a person should review a photograph.
        gate: Cut points of the gate, whose network the file holds beside that of the grades.
        history: Changes of decisions after the export, the first one first.
        undefined: Reasons why some of these parts are ``None``, by field name.
        training_data: The photographs of the exported run.
        initial_weights: Source and licence of the weights with which training began.
        validation: Metrics on the validation photographs, on which the best epoch was chosen.
        cross_validation: Metrics on all photographs, each predicted by a network of a cross-validation that was not
            trained on it. They describe networks trained in the same way, not this file.
        test: Metrics on the test photographs, on which nothing was chosen; ``None`` if there are none.
        elsewhere: Metrics on photographs of other clinics and cameras, as the author stated them.
        change_from_float32: Metrics of this file minus metrics of the same file in float32, on the photographs of
            :attr:`comparison_split`; ``None`` for float32.
        verification: Agreement of the file with the network.
        versions: Versions of the libraries used for training and for export.
        intended_use: Intended use, in words.
        limitations: Known limitations, in words.
        licence: Licence of the file, if its author stated one.
        digest: SHA-256 digest of the file that these metadata were read from, apart from the times of its export and
            changes; empty before. The file itself doesn't hold it here: see :mod:`retinagrade.grader.seal`.
    """

    schema_version: Literal[4] = 4
    name: str
    version: str
    created: str
    grades: tuple[str, ...] = Field(min_length=N_GRADES, max_length=N_GRADES)
    image_size: PositiveInt
    preparation: PreparationMetadata
    output: str
    lesions: LesionMetadata | None = None
    members: tuple[MemberMetadata, ...]
    tta: bool
    precision: Precision
    temperature: PositiveFloat
    site_temperature: PositiveFloat = 1.0
    referable: Threshold | None
    vision_threatening: Threshold | None
    oedema: Threshold | None = None
    referral: Literal["retinopathy", "retinopathy-or-oedema"] = "retinopathy"
    prediction_sets: PredictionSetsMetadata | None
    review: ReviewRule | None
    gate: GateSettings = GateSettings()
    history: tuple[Change, ...] = ()
    undefined: dict[str, str]
    training_data: TrainingDataMetadata
    initial_weights: dict[str, Any]
    validation: MeasuredMetrics | None
    cross_validation: MeasuredMetrics | None = None
    test: MeasuredMetrics | None
    elsewhere: tuple[MeasuredElsewhere, ...] = ()
    change_from_float32: MeasuredMetrics | None
    verification: Verification
    versions: dict[str, dict[str, str]]
    intended_use: str
    limitations: tuple[str, ...]
    licence: str | None = None
    digest: str = Field(default="", exclude=True)

    @property
    def comparison_split(self) -> str:
        """Split of the photographs that verification and :attr:`change_from_float32` were measured on."""
        return "validation" if self.training_data.photographs.get("val") else "training"


def read_metadata(properties: dict[str, str], path: Path) -> Metadata:
    """Reads the metadata of a grader file from its ``metadata_props``.

    Args:
        properties: The ``metadata_props`` of the ONNX file.
        path: The file, for error messages.

    Raises:
        GraderFileError: The metadata are missing, broken or of another schema version.
    """
    if KEY not in properties:
        raise GraderFileError(f"{path} is not a grader file: `retinagrade export` makes one")
    try:
        return Metadata.model_validate(json.loads(properties[KEY]))
    except json.JSONDecodeError as error:
        raise GraderFileError(f"{path}: its metadata are broken ({error}): export the run again") from error
    except ValidationError as error:
        raise GraderFileError(
            f"{path} was not written by this version: export the run again:\n  "
            f"{describe_validation_error(error, Metadata)}"
        ) from None


def short_digest(digest: str) -> str:
    """Returns the first 16 digits of a SHA-256 digest: two photographs share them by chance once in 10^19 pairs."""
    return digest[:16]


def seen_before(metadata: Metadata, digest: str | None) -> SeenBefore | None:
    """Says whether a grader file has seen a photograph before it graded it.

    Args:
        metadata: Metadata of the grader file.
        digest: SHA-256 digest of the photograph's file; ``None`` if unknown.

    Returns:
        ``training`` where its networks were trained or chosen on the photograph, ``fit`` where a site's decisions were
        fitted on it, and ``None`` where neither is known.
    """
    if digest is None:
        return None
    mark = short_digest(digest)
    if mark in metadata.training_data.digests:
        return "training"
    return "fit" if any(mark in change.digests for change in metadata.history) else None


def with_digest(metadata: Metadata, model: bytes) -> Metadata:
    """Returns metadata that know the digest of their file. A run that is exported again keeps it, and so does a change.

    Args:
        metadata: The metadata in the file.
        model: The file without its seal. The times of its export and of its changes don't count.
    """
    timeless = model
    for time in (metadata.created, *(change.date for change in metadata.history)):
        timeless = timeless.replace(time.encode(), b"")
    return metadata.model_copy(update={"digest": hashlib.sha256(timeless).hexdigest()})


def with_gate(metadata: Metadata, gate: GateSettings) -> Metadata:
    """Returns metadata with other cut points of the gate. Their digest differs: the same file would grade otherwise."""
    if gate == metadata.gate:
        return metadata
    digest = hashlib.sha256(f"{metadata.digest} {gate.model_dump_json()}".encode()).hexdigest()
    return metadata.model_copy(update={"gate": gate, "digest": digest})
