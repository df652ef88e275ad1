"""The networks that can be trained: kin, and networks of timm with mish activations where they take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from imkin.errors import MissingExtraError, UsageError
from imkin.train.network import DIM, KinNet


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network by its name. timm: its name there; None: our own. mish: with mish activations (Misra 2019).

    sides: pixels of a picture's side in training and in use; see `plan.Plan.shipped_side`.
    """

    name: str
    timm: str | None = None
    mish: bool = False
    sides: tuple[int, int] = (128, 160)


BACKBONES = {
    each.name: each
    for each in (
        Backbone("kin", sides=(96, 112)),
        Backbone("efficientnet-b0", "efficientnet_b0", mish=True),
        Backbone("mobilenet-v3", "mobilenetv3_large_100"),
        Backbone("resnet50", "resnet50"),
    )
}


class Headed(nn.Module):
    """A network of features (n, features) and a linear layer to unit vectors (n, dim)."""

    def __init__(self, features: nn.Module, width: int, dim: int = DIM) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, dim) of Euclidean length 1, float32."""
        found = self.features(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return functional.normalize(self.head(found), dim=1)


def build(name: str, *, seed: int) -> nn.Module:
    """A network with first weights by seed. Raises UsageError for an unknown name or a timm that cannot be used."""
    if name not in BACKBONES:
        raise UsageError(f"unknown backbone `{name}`; known: {', '.join(BACKBONES)}")
    torch.manual_seed(seed)
    backbone = BACKBONES[name]
    if backbone.timm is None:
        return KinNet()
    features = _timm(name, backbone.timm, mish=backbone.mish)
    with torch.no_grad():
        width = features.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    return Headed(features.train(), int(width))


def _timm(name: str, model: str, *, mish: bool) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name == "timm":
            raise MissingExtraError(f"the backbone {name}", "train") from None
        raise _unusable(name, error) from error
    except Exception as error:  # a torchvision built for another torch fails in many ways, most of them RuntimeError
        raise _unusable(name, error) from error
    options: dict[str, Any] = {"act_layer": "mish"} if mish else {}
    made: nn.Module = timm.create_model(model, pretrained=False, num_classes=0, **options)
    return made


def _unusable(name: str, error: Exception) -> UsageError:
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    return UsageError(
        f"the backbone {name} needs timm, which cannot be imported here ({reason}): install the torchvision that "
        "belongs to your torch (pip install --force-reinstall torch torchvision), or train --backbone kin"
    )
