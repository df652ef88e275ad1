"""The built-in network: a small residual net, generalised-mean pooling, a unit vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# Chosen by speed: one core of a laptop's processor takes under 5 ms an image, and the file stays under 6 MB.
WIDTHS = (32, 64, 128, 256)
DEPTHS = (1, 1, 2, 2)
STRIDES = (2, 2, 2, 1)
DIM = 256
# What processors call their instructions for it: x86 twice, ARM.
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


class Block(nn.Module):
    """Basic residual block (He et al. 2016): two 3×3 convolutions and a shortcut."""

    shortcut: nn.Identity | nn.Sequential

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width_in, h, w) to (n, width, h / stride, w / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x), inplace=True)


class GeM(nn.Module):
    """Generalised-mean pooling (Radenović et al. 2018, eq. 3) with one learnt exponent."""

    def __init__(self, exponent: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c), in float32: powers overflow in shorter floats."""
        powers = x.float().clamp(min=self.floor).pow(self.exponent)
        return powers.mean(dim=(2, 3)).pow(1.0 / self.exponent)


class KinNet(nn.Module):
    """Pictures (n, 3, side, side), normalised, to unit vectors (n, dim) float32. side: any multiple of 16."""

    def __init__(self, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS, dim: int = DIM) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        blocks: list[nn.Module] = []
        width_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for index in range(depth):
                blocks.append(Block(width_in, width, STRIDES[stage] if index == 0 else 1))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = GeM()
        self.head = nn.Linear(width_in, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, dim) of Euclidean length 1."""
        pooled = self.pool(self.blocks(self.stem(x)))
        with torch.autocast(x.device.type, enabled=False):
            return functional.normalize(self.head(pooled), dim=1)


def mixed(device: str) -> torch.autocast:
    """Mixed precision where the device computes in bfloat16; elsewhere it is emulated, and takes 15 times as long."""
    if device == "cpu":
        # Older releases of torch do not tell; single precision is right everywhere.
        capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        able = any(capabilities.get(name) for name in BFLOAT16)
    else:
        able = device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device, torch.bfloat16, enabled=able)
