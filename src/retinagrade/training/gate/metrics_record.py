"""``metrics.json`` of a training of the gate: how the heads judge pictures that they didn't learn from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LearntFrom(_Model):
    """What the judged heads learnt from.

    Attributes:
        pictures: Number of pictures.
        photographs: Number of photographs that made-up cameras took for these pictures.
    """

    pictures: int
    photographs: int


class Refused(_Model):
    """How many pictures of one kind the gate refuses.

    Attributes:
        refused: Share of the pictures that it refuses, 0 to 1; ``None`` without pictures.
        pictures: Number of pictures.
    """

    refused: float | None
    pictures: int


class Share(_Model):
    """How often one answer is given.

    Attributes:
        share: Share of the pictures with this answer, 0 to 1; ``None`` without pictures.
        pictures: Number of pictures.
    """

    share: float | None
    pictures: int


class DegradationMetrics(Refused):
    """Photographs that one kind of degradation makes ungradable.

    Attributes:
        auc_against_good: AUC of the probability of a refusal, against good photographs, 0 to 1; ``None`` where it is
            undefined.
    """

    auc_against_good: float | None


class QualityMetrics(_Model):
    """Quality of photographs of the fundus, by the strength of their degradations.

    Attributes:
        auc_reject_against_good: AUC of the probability of a refusal, ungradable against good photographs, 0 to 1;
            ``None`` where it is undefined.
        auc_reject_against_all_others: Same against good and usable photographs.
        good: Good photographs.
        usable: Usable photographs.
        reject: Ungradable photographs.
        reject_by_degradation: Ungradable photographs, by the kind of degradation.
    """

    auc_reject_against_good: float | None
    auc_reject_against_all_others: float | None
    good: Refused
    usable: Refused
    reject: Refused
    reject_by_degradation: dict[str, DegradationMetrics]


class CleanMetrics(Refused):
    """Photographs of made-up cameras without degradations.

    Attributes:
        called_no_fundus: Share of them that the gate takes for something else than a fundus, 0 to 1; ``None`` without
            pictures.
        at_most_usable: Share of them that the gate calls usable or refuses, 0 to 1; ``None`` without pictures.
        by_look: The photographs by the look of their camera.
    """

    called_no_fundus: float | None
    at_most_usable: float | None
    by_look: dict[str, Refused]


class OtherPictures(Refused):
    """Pictures that show no fundus.

    Attributes:
        called_no_fundus: Share of them that the gate recognises as such, 0 to 1; ``None`` without pictures.
    """

    called_no_fundus: float | None


class NoFundusMetrics(OtherPictures):
    """All pictures that show no fundus.

    Attributes:
        by_kind: The pictures by what they show.
    """

    by_kind: dict[str, OtherPictures]


class LandmarkMetrics(_Model):
    """Whether the gate sees that a landmark is missing, in colour photographs with few degradations.

    Attributes:
        missing_and_called_missing: Right answers for photographs without the landmark.
        visible_and_called_missing: Wrong answers for photographs with the landmark.
    """

    missing_and_called_missing: Share
    visible_and_called_missing: Share


class PictureMetrics(_Model):
    """The judgement on held-out pictures: photographs of made-up cameras, and all other pictures.

    Attributes:
        pictures: Number of pictures.
        quality: Quality of photographs of the fundus.
        clean_photographs_of_made_up_cameras: Photographs of made-up cameras without degradations.
        synthetic_photographs: Drawn photographs without degradations.
        no_fundus: Pictures that show no fundus.
        modalities: Pictures whose modality the gate recognises, by modality.
        reasons_auc: AUC of each reason, in photographs of the fundus, 0 to 1; ``None`` where it is undefined.
        landmarks: Missing landmarks, by landmark.
        centre: Photographs with few degradations whose centre the gate recognises, by what they are centred on.
    """

    pictures: int
    quality: QualityMetrics
    clean_photographs_of_made_up_cameras: CleanMetrics
    synthetic_photographs: Refused
    no_fundus: NoFundusMetrics
    modalities: dict[str, Share]
    reasons_auc: dict[str, float | None]
    landmarks: dict[str, LandmarkMetrics]
    centre: dict[str, Share]


class PhotographMetrics(_Model):
    """The judgement on held-out photographs as they are, all of them good enough to grade.

    Attributes:
        photographs: Number of photographs.
        refused: Share of them that the gate refuses, 0 to 1.
        at_most_usable: Share of them that the gate calls usable or refuses, 0 to 1.
        refused_photographs: Ids of the refused photographs.
    """

    photographs: int
    refused: float
    at_most_usable: float
    refused_photographs: tuple[str, ...]


class GateMetrics(_Model):
    """``metrics.json`` of ``train-gate``: how the heads judge pictures that they didn't learn from.

    Attributes:
        learnt_from: What the judged heads learnt from.
        left_out: Families of looks, degradations and pictures that they didn't learn from.
        held_out_pictures: The judgement on held-out pictures.
        held_out_photographs: The judgement on held-out photographs.
    """

    learnt_from: LearntFrom
    left_out: tuple[str, ...]
    held_out_pictures: PictureMetrics
    held_out_photographs: PhotographMetrics
