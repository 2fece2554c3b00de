"""Settings of a training of the gate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt


class GateTrainingSettings(BaseModel):
    """Settings of a training of the gate.

    Attributes:
        pictures: Pictures to learn from.
        leave_out: Families of looks, degradations and pictures that the heads don't learn from, for a test of how they
            judge what they never saw.
        epochs: Times that every picture is learnt from.
        batch_size: Pictures in a batch.
        learning_rate: Highest learning rate.
        weight_decay: Weight decay of AdamW.
        dropout: Share of dropped values in the heads.
        label_smoothing: Share of the modality's target that all answers have in common.
        seed: Seed of the pictures, of the held-out photographs, and of the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pictures: PositiveInt = 14336
    leave_out: tuple[str, ...] = ()
    epochs: PositiveInt = 16
    batch_size: PositiveInt = Field(96, ge=2)
    learning_rate: PositiveFloat = 3e-3
    weight_decay: PositiveFloat = 1e-2
    dropout: float = Field(0.3, ge=0, lt=1)
    label_smoothing: float = Field(0.02, ge=0, lt=1)
    seed: NonNegativeInt = 0
