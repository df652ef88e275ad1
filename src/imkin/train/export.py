"""From torch to ONNX, with a check that both give the same vectors, and the model's card beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from imkin.errors import ImkinError, OutputError
from imkin.train.network import Block, KinNet

OPSET = 17
LARGEST_DIFFERENCE = 1e-4


class _Folded(nn.Module):
    """A convolution with its batch norm folded in; weights stand in half precision in the file, sums run in single.

    Halving the file costs at most 5e-4 of a weight; the check of `export` is against these same rounded weights.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a batch norm without running statistics cannot be folded")
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach().contiguous().half())
        self.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach().half())
        self.stride, self.padding = conv.stride[0], conv.kernel_size[0] // 2

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight.float(), self.bias.float(), self.stride, self.padding)


def _folded(pair: nn.Sequential) -> _Folded:
    """A convolution and its norm, the first two parts of `pair`."""
    conv, norm = pair[0], pair[1]
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError(f"cannot fold {norm} into {conv}")
    return _Folded(conv, norm)


class _Half(nn.Module):
    """A linear layer with its weights in half precision."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().half())
        self.bias = nn.Parameter(layer.bias.detach().half())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.float(), self.bias.float())


class Deployed(nn.Module):
    """The network as it is shipped: the same function as KinNet in evaluation, but for half-precision weights."""

    def __init__(self, network: KinNet) -> None:
        super().__init__()
        self.stem = _folded(network.stem)
        self.blocks = nn.ModuleList(_DeployedBlock(block) for block in network.blocks if isinstance(block, Block))
        self.exponent, self.floor = float(network.pool.exponent.detach()), network.pool.floor
        self.head = _Half(network.head)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) float32 to (n, dim) unit vectors."""
        x = functional.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        pooled = x.clamp(min=self.floor).pow(self.exponent).mean(dim=(2, 3)).pow(1 / self.exponent)
        return functional.normalize(self.head(pooled), dim=1)


class _DeployedBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.first = _Folded(block.conv1, block.norm1)
        self.second = _Folded(block.conv2, block.norm2)
        self.shortcut = nn.Identity() if isinstance(block.shortcut, nn.Identity) else _folded(block.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))


def onnx_bytes(network: nn.Module, *, side: int) -> bytes:
    """The network as ONNX: input `pictures` (n, 3, height, width) float32, output `vectors` (n, dim) float32."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        # The exporter by tracing needs no further package; torch announces its end, and this net is all it must take.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.zeros(2, 3, side, side),), path, dynamo=False, opset_version=OPSET,
            do_constant_folding=False, input_names=["pictures"], output_names=["vectors"],
            dynamic_axes={"pictures": {0: "n", 2: "height", 3: "width"}, "vectors": {0: "n"}},
        )  # fmt: skip
        with open(path, "rb") as file:
            return file.read()


def largest_difference(network: nn.Module, model: bytes, *, side: int, seed: int = 0) -> float:
    """Largest difference of any vector component, torch against onnxruntime, on 16 random pictures."""
    pictures = torch.randn(16, 3, side, side, generator=torch.Generator().manual_seed(seed))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        ours = network.eval()(pictures).numpy()
    return float(np.abs(session.run(["vectors"], {"pictures": pictures.numpy()})[0] - ours).max())


def export(network: nn.Module, path: str, *, side: int, card: dict[str, object]) -> float:
    """Write `path` (ONNX) and its card beside it (.json), whole or not at all; returns the largest difference.

    Raises ImkinError if onnxruntime and torch disagree by more than LARGEST_DIFFERENCE, OutputError if the files
    cannot be written.
    """
    deployed = Deployed(network.eval()) if isinstance(network, KinNet) else network.eval()
    try:
        model = onnx_bytes(deployed, side=side)
    except OSError as error:  # torch writes to a file of its own first
        raise OutputError(f"cannot write the model: {error.strerror or error}") from error
    difference = largest_difference(deployed, model, side=side)
    if not difference <= LARGEST_DIFFERENCE:
        raise ImkinError(f"the exported model differs from the trained one by {difference:.2g}; nothing was written")
    facts = {
        "input": "pictures", "layout": "NCHW", "size": side,
        "output": "vectors", "dim": _dim(deployed, side), "pooling": "in the graph",
        "sha256": hashlib.sha256(model).hexdigest(), **card,
    }  # fmt: skip
    write_both((path, model), (card_path(path), json.dumps(facts, indent=1).encode()))
    return difference


def _dim(network: nn.Module, side: int) -> int:
    with torch.no_grad():
        return int(network(torch.zeros(1, 3, side, side)).shape[1])


def card_path(path: str) -> str:
    """Where the card of a model stands."""
    return os.path.splitext(path)[0] + ".json"


def write_both(*files: tuple[str, bytes]) -> None:
    """Write files, both or none: each is whole under another name before the first gets its own. Raises OutputError."""
    try:
        for name, data in files:
            with open(name + ".partial", "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name, _ in files:
            os.replace(name + ".partial", name)
    except OSError as error:
        for name, _ in files:
            with contextlib.suppress(OSError):
                os.remove(name + ".partial")
        raise OutputError(f"cannot write {files[0][0]}: {error.strerror or error}") from error
