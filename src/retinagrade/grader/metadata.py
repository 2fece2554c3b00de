"""The grader file: an ONNX graph that carries all that must be known to use it, and to judge it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from retinagrade.errors import GraderFileError, describe_validation_error
from retinagrade.grades import N_GRADES
from retinagrade.images.prepare import Contrast, PreparationSettings, Square

KEY: Final = "retinagrade"
"""Where the metadata stand among the ``metadata_props`` of the ONNX file, as JSON."""
BUNDLED: Final = Path(__file__).with_name("default.onnx")
"""The grader that comes with the package; ``make default-grader`` makes it."""
Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(ge=0)]
Precision = Literal["float32", "float16", "int8"]
"""How the weights are kept: int8 also computes the network's convolutions in whole numbers."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PreparationMetadata(_Part):
    """How the photographs were prepared that it learnt from; see :class:`retinagrade.images.prepare.PreparationSettings`."""

    size: PositiveInt
    contrast: Contrast
    square: Square
    recipe: Literal[1]

    def settings(self) -> PreparationSettings:
        """The same, for :func:`retinagrade.images.prepare.prepare_photograph`."""
        return PreparationSettings(**self.model_dump())


class Threshold(_Part):
    """A photograph is positive where the probability of the grades that count adds up to ``threshold`` or more.

    Attributes:
        threshold: On calibrated probabilities.
        rule: What was asked for when it was chosen.
        target: The sensitivity or specificity that was asked for.
        sensitivity: On the validation photographs, which it was chosen on.
        specificity: Likewise.
    """

    threshold: Limit
    rule: str
    target: Share | None
    sensitivity: Share
    specificity: Share


class PredictionSetsMetadata(_Part):
    """Conformal sets; a grade is inside where its score is at most its limit, and always where that is ``None``."""

    coverage: Share
    limits: tuple[Limit | None, ...] = Field(min_length=N_GRADES, max_length=N_GRADES)


class ReviewRule(_Part):
    """A person should look where the probability of the most probable grade is below ``confidence``."""

    confidence: Share
    target: Share
    referred: Share


class MetricValue(_Part):
    """A measured figure, and its 95 % interval; ``None`` where undefined."""

    value: float | None
    interval: tuple[float, float] | None


class MeasuredMetrics(_Part):
    """What it reached on photographs that it was not trained on.

    Attributes:
        photographs: How many.
        figures: By name.
    """

    photographs: PositiveInt
    figures: dict[str, MetricValue]


class AuthorStatements(_Part):
    """What only people know of a file.

    Attributes:
        licence: Of the file.
        data: Of the photographs that it learnt from: their origin, licence and attribution.
        limits: What its user must know of it, beside what is true of every file.
    """

    licence: str | None = None
    data: str | None = None
    limits: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a YAML file with some of these.

        Raises:
            ArtefactError: Not readable, or something else in it.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise GraderFileError(f"{path}: not readable YAML: {error}") from error
        except ValidationError as error:
            raise GraderFileError(
                f"{path} is to hold licence, data and limits:\n  {describe_validation_error(error)}"
            ) from None


class TrainingData(_Part):
    """What it learnt from.

    Attributes:
        datasets: Names of the data sets; empty where they are not known any more.
        photographs: How many, by split.
        source: Their origin, licence and attribution, where it was stated.
        manifest_sha256: Digest of the manifest.
    """

    datasets: tuple[str, ...]
    photographs: dict[str, int]
    source: str | None = None
    manifest_sha256: str


class Verification(_Part):
    """How near the file is to the network that it was exported from.

    Attributes:
        photographs: How many both were shown.
        probabilities: Largest difference of a probability.
        evidence: Lowest correlation of a map of evidence.
    """

    photographs: PositiveInt
    probabilities: float
    evidence: float


class MemberMetadata(_Part):
    """A network of an ensemble.

    Attributes:
        name: What the ensemble calls it.
        version: The first digits of the digest of its weights.
        evidence: Its share of the evidence.
    """

    name: str
    version: str
    evidence: Share


class Metadata(_Part):
    """All that a grader file says of itself.

    Attributes:
        schema_version: Of these metadata.
        name: Of the experiment.
        version: The first digits of the digest of its weights, and what the file does otherwise than a plain one.
        created: UTC time of the export.
        grades: Labels of the probabilities, in their order.
        image_size: Side of the square input, in pixels.
        preparation: What is done to a photograph before.
        output: What the network's last numbers mean, or how an ensemble combines its members.
        members: The networks of an ensemble; none where there is one network.
        flips: Whether all is the mean over four mirrored views of the photograph.
        precision: How the weights are kept.
        temperature: That its probabilities are calibrated by, inside the graph; 1 where none was fitted.
        referable: When to call a photograph referable.
        vision_threatening: When to call it vision-threatening.
        conformal: Sets of grades.
        referral: When a person should look.
        undefined: Why one of these is ``None``, by its name.
        training_data: What it learnt from.
        weights: Where its first weights are from, and their licence, as the run's record says.
        validation: Figures of the photographs that the epoch was chosen on.
        cross_validated: Figures of all photographs, each predicted by a network of a cross-validation that had not seen
            it: of networks trained as this one was, not of this very file.
        test: Figures of those that nothing was chosen on; ``None`` where there are none.
        change: Figures of the validation photographs, or of those that it learnt from where there are none, less those
            of the same file in float32; ``None`` for float32.
        proof: That the file is the network.
        versions: Of the libraries that trained and exported it.
        intended_use: For people.
        limits: Likewise.
        licence: Of the file, where it was stated.
    """

    schema_version: Literal[1] = 1
    name: str
    version: str
    created: str
    grades: tuple[str, ...] = Field(min_length=N_GRADES, max_length=N_GRADES)
    image_size: PositiveInt
    preparation: PreparationMetadata
    output: str
    members: tuple[MemberMetadata, ...]
    flips: bool
    precision: Precision
    temperature: PositiveFloat
    referable: Threshold | None
    vision_threatening: Threshold | None
    conformal: PredictionSetsMetadata | None
    referral: ReviewRule | None
    undefined: dict[str, str]
    training_data: TrainingData
    weights: dict[str, Any]
    validation: MeasuredMetrics | None
    cross_validated: MeasuredMetrics | None = None
    test: MeasuredMetrics | None
    change: MeasuredMetrics | None
    proof: Verification
    versions: dict[str, dict[str, str]]
    intended_use: str
    limits: tuple[str, ...]
    licence: str | None = None

    @property
    def compared_on(self) -> str:
        """Which photographs :attr:`change` and :attr:`proof` are of."""
        return "validation" if self.training_data.photographs.get("val") else "training"


def read_metadata(properties: dict[str, str], path: Path) -> Metadata:
    """The metadata of a file by its ``metadata_props``.

    Raises:
        ArtefactError: They are missing, broken or of another version.
    """
    if KEY not in properties:
        raise GraderFileError(f"{path} is no grader file: make one with `retinagrade export`")
    try:
        return Metadata.model_validate(json.loads(properties[KEY]))
    except json.JSONDecodeError as error:
        raise GraderFileError(f"{path}: its metadata are broken ({error}): export it again") from error
    except ValidationError as error:
        raise GraderFileError(
            f"{path} is not a grader file that this version reads:\n  {describe_validation_error(error)}"
        ) from None
