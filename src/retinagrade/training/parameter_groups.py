"""Groups of parameters that are trained with one learning rate and one weight decay."""

from __future__ import annotations

from typing import Any

from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]
from torch import nn

from retinagrade.errors import ExperimentError
from retinagrade.experiments.experiment import TrainingSettings
from retinagrade.models.multi_backbone import MultiBackbone


def parameter_groups(network: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Divides the parameters of a network that are not frozen into groups for an optimiser.

    Without ``layer_decay``, backbone and head have one group each. With it, the layer before the head has the factor
    ``layer_decay``, the one before that its square, and so on; biases, norms and embeddings have no weight decay, as in
    the sources.

    Sources: H. Bao et al., "BEiT: BERT pre-training of image transformers", ICLR 2022, and K. He et al., "Masked
    autoencoders are scalable vision learners", CVPR 2022, appendix A; timm's ``param_groups_layer_decay``.

    Args:
        network: A network with the submodules ``backbone`` and ``head``.
        settings: Section ``training`` of the experiment.

    Returns:
        Groups with ``params``, ``lr`` and ``name``, and with ``weight_decay`` where groups differ in it. Those of the
        head are last.

    Raises:
        ExperimentError: The layers of the backbone have no known order.
    """
    backbone, head = network.get_submodule("backbone"), network.get_submodule("head")
    rate = settings.backbone_learning_rate or settings.learning_rate
    if settings.layer_decay is None:
        groups = [_group(backbone, rate, "backbone"), _group(head, settings.learning_rate, "head")]
        return [group for group in groups if group["params"]]
    decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
    models = backbone.items() if isinstance(backbone, MultiBackbone) else [("backbone", backbone)]
    return [
        *(group for name, model in models for group in _by_layer(model, name, rate, decay, settings.layer_decay)),
        *_by_shape(head, settings.learning_rate, decay),
    ]


def _group(module: nn.Module, rate: float, name: str) -> dict[str, Any]:
    return {"params": [p for p in module.parameters() if p.requires_grad], "lr": rate, "name": name}


def _by_layer(model: nn.Module, name: str, rate: float, decay: float, layer_decay: float) -> list[dict[str, Any]]:
    if not hasattr(model, "group_matcher"):
        raise ExperimentError(
            f"training.layer_decay: the layers of {type(model).__name__} have no known order: set it to null, and "
            "training.backbone_learning_rate to a lower rate"
        )
    without_decay: Any = getattr(model, "no_weight_decay", tuple)()
    groups = param_groups_layer_decay(
        model, weight_decay=decay, no_weight_decay_list=without_decay, layer_decay=layer_decay
    )
    return [
        {
            "params": group["params"],
            "lr": rate * layer_decay * group["lr_scale"],  # the head is the layer after the last one of the backbone
            "weight_decay": group["weight_decay"],
            "name": f"{name}-{number}",
        }
        for number, group in enumerate(groups)
    ]


def _by_shape(head: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    return [
        {"params": parameters, "lr": rate, "weight_decay": own_decay, "name": name}
        for name, parameters, own_decay in (
            ("head-biases", [each for each in trained if each.ndim < 2], 0.0),
            ("head", [each for each in trained if each.ndim > 1], decay),
        )
        if parameters
    ]
