"""Run a network in onnxruntime: the one place that opens sessions, looks at a graph's input and output, and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from imkin.errors import UsageError

Layout = Literal["NCHW", "NHWC"]
Pooling = Literal["token 0", "mean"]

# Of a device's name on the command line.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
# On a processor one picture a run: the kernels of the runtime are chosen by the batch, and with them the last bits of
# a vector, which must not depend on the pictures beside it. Elsewhere a batch is filled up to one size for the same
# reason. What that costs is measured by benchmarks/networks.py.
CPU_BATCH, DEVICE_BATCH = 1, 16
FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
INPUTS: dict[str, np.dtype[Any]] = {"tensor(float)": np.dtype(np.float32), "tensor(uint8)": np.dtype(np.uint8)}


def present() -> tuple[str, ...]:
    """Names of the devices that the installed onnxruntime can use."""
    available = onnxruntime.get_available_providers()
    return tuple(name for name, provider in PROVIDERS.items() if provider in available)


def open_session(model: str | bytes, *, name: str, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session of a file or of its bytes. name: what errors call it. device: "auto" or one of PROVIDERS.

    "auto" is cuda where there is one, else cpu. One thread a run: the scan runs pictures side by side, and sums in
    one order give the same bits on any machine. UsageError: no ONNX model, or a device that is not there.
    """
    chosen = ("cuda" if "cuda" in present() else "cpu") if device == "auto" else device
    if chosen not in present():
        raise UsageError(f"there is no device `{device}` for networks; here are: auto, {', '.join(present())}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Rounded products (TF32) would set a GPU's vectors apart from a processor's by a thousandth.
    details = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"} if chosen == "cuda" else {}
    providers = [(PROVIDERS[chosen], details)] + ([] if chosen == "cpu" else [(PROVIDERS["cpu"], {})])
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # its errors have no base of their own
        raise UsageError(f"{name} cannot be used as an ONNX model: {_first_line(error)}") from error
    if device == chosen and PROVIDERS[chosen] not in session.get_providers():
        raise UsageError(f"onnxruntime could not start its device `{device}`; see its log, or use --device cpu")
    return session


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


@dataclass(frozen=True, slots=True)
class Input:
    """A graph's input. batch, height, width: None where the graph leaves them open."""

    name: str
    layout: Layout
    channels: int
    dtype: np.dtype[Any]
    batch: int | None
    height: int | None
    width: int | None


def image_input(session: onnxruntime.InferenceSession, *, name: str, layout: Layout | None = None) -> Input:
    """The one input of a network of images. layout: what its card says. UsageError: it has another input."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise UsageError(f"{name} has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), not one image")
    (only,) = inputs
    if len(only.shape) != 4 or only.type not in INPUTS:
        shape = "x".join(str(side) for side in only.shape) or "a number"
        raise UsageError(
            f"{name} has no image input: `{only.name}` is {only.type} of {shape}, "
            "not float or uint8 of batch, channels, height, width in this order or with the channels last"
        )
    fixed = [side if isinstance(side, int) and side > 0 else None for side in only.shape]
    order = layout or _layout(only.shape, fixed)
    if (fixed[1] in (1, 3)) != (fixed[3] in (1, 3)) and order != _layout(only.shape, fixed):
        raise UsageError(f"{name} takes {'x'.join(map(str, only.shape))}, which is not {order}, as its card says")
    batch, channels, height, width = fixed if order == "NCHW" else (fixed[0], fixed[3], fixed[1], fixed[2])
    if channels not in (1, 3, None):
        raise UsageError(f"{name} takes {channels} channels as {order}; a picture has 3, or 1 in gray")
    return Input(only.name, order, channels or 3, INPUTS[only.type], batch, height, width)


def _layout(shape: Sequence[int | str | None], fixed: Sequence[int | None]) -> Layout:
    """By the side that can be one of channels; where both or none can, by their names, else channels first."""
    first, last = (fixed[at] in (1, 3) for at in (1, 3))
    if first != last:
        return "NCHW" if first else "NHWC"
    names = [str(side).lower() for side in shape]
    return "NHWC" if "chan" in names[3] or names[3] == "c" else "NCHW"


@dataclass(frozen=True, slots=True)
class Runner:
    """A session with its input, and how its output becomes vectors. name: what errors call the network."""

    name: str
    session: onnxruntime.InferenceSession
    input: Input
    output: str
    pooling: Pooling | None
    batch: int

    def run(self, pictures: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors (n, dim), of any length, of pictures (n, height, width, channels), scaled as the network wants them.

        The same bits whatever comes together. UsageError: the network cannot take them, or what it gives is no vector.
        """
        return np.concatenate([self._run(chunk) for chunk in self._batches(pictures)])

    def _batches(self, pictures: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
        for start in range(0, len(pictures), self.batch):
            yield pictures[start : start + self.batch]

    def _run(self, pictures: NDArray[np.generic]) -> NDArray[np.float32]:
        fed = np.zeros((self.batch, *pictures.shape[1:]), self.input.dtype)
        fed[: len(pictures)] = pictures
        if self.input.layout == "NCHW":
            fed = np.ascontiguousarray(fed.transpose(0, 3, 1, 2))
        try:
            (found,) = self.session.run([self.output], {self.input.name: fed})
        except Exception as error:  # its errors have no base of their own
            shape = "x".join(map(str, fed.shape))
            raise UsageError(f"{self.name} fails on a picture of {shape}: {_first_line(error)}") from error
        return self._vectors(np.asarray(found))[: len(pictures)]

    def _vectors(self, found: NDArray[np.generic]) -> NDArray[np.float32]:
        if found.ndim == 1 and self.batch == 1:
            found = found[None]
        if found.ndim < 2 or found.ndim > 4 or len(found) != self.batch or 0 in found.shape:
            shape = "x".join(map(str, found.shape)) or "a number"
            raise UsageError(f"{self.name} gives `{self.output}` of {shape} for {self.batch} pictures: no vectors")
        if self.pooling == "token 0" and found.ndim != 3:
            raise UsageError(f"{self.name}: `{self.output}` has no tokens, but its card says to take token 0")
        if found.ndim == 4:
            found = found.mean(axis=(2, 3) if self.input.layout == "NCHW" else (1, 2))
        elif found.ndim == 3:
            found = found.mean(axis=1) if self.pooling == "mean" else found[:, 0]
        return np.asarray(found, np.float32)


# What networks call the vector of the whole picture, best first.
_VECTORS = ("image_embeds", "pooler_output", "vectors", "embedding", "embeddings", "features", "last_hidden_state")


def runner(
    session: onnxruntime.InferenceSession,
    *,
    name: str,
    layout: Layout | None = None,
    output: str | None = None,
    pooling: Pooling | None = None,
) -> Runner:
    """What runs a session's network. layout, output, pooling: what its card says; None: look at the graph.

    UsageError: no image input, no output of floats, or not the one the card names.
    """
    given = image_input(session, name=name, layout=layout)
    outputs = [found.name for found in session.get_outputs()]
    if output is not None and output not in outputs:
        raise UsageError(f"{name} has no output `{output}`, which its card names; it has {', '.join(outputs)}")
    floats = [found.name for found in session.get_outputs() if found.type in FLOATS]
    if not floats or (output is not None and output not in floats):
        raise UsageError(f"{name} gives no vector: its outputs are {', '.join(outputs)}, none of floats")
    chosen = output or next((known for known in _VECTORS if known in floats), floats[0])
    on_cpu = session.get_providers()[0] == PROVIDERS["cpu"]
    return Runner(name, session, given, chosen, pooling, given.batch or (CPU_BATCH if on_cpu else DEVICE_BATCH))
