"""The trained network in whole numbers: `python -m imkin.train.quantize float.onnx --photos DIR --out kin.onnx`.

Post-training quantisation (Jacob et al. 2018; Nagel et al. 2021, «A White Paper on Neural Network Quantization»):
activations in 8 bits a layer, weights in 7 bits a channel. Their products then fit the 16-bit sums of AVX2, so that
the vectors are the same with and without the instructions that have wider ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from imkin import image
from imkin.errors import EXIT_USAGE, ImkinError, UsageError
from imkin.prints import embedding
from imkin.train.data import listing
from imkin.train.export import card_path, write_both
from imkin.types import Failure

# The first convolutions stay in floats: a twentieth of the time, and half of what rounding costs in accuracy.
FLOAT_LAYERS = 4
PHOTOS = 120
AT_ONCE = 24


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Batches of pictures, as the runtime's calibration asks for them."""

    def __init__(self, pictures: NDArray[np.float32]) -> None:
        self._batches = iter([pictures[at : at + AT_ONCE] for at in range(0, len(pictures), AT_ONCE)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"pictures": batch}


def quantized(model: bytes, pictures: NDArray[np.float32]) -> bytes:
    """A network of `export` with 8-bit convolutions. pictures: (n, 3, side, side) float32, as it takes them."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        plain, out = os.path.join(folder, "plain.onnx"), os.path.join(folder, "out.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = plain
        # Writes the graph with its half-precision weights unfolded to single ones.
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(plain)
        for at, node in enumerate(graph.graph.node):
            node.name = f"{node.op_type}_{at}"
        onnx.save(graph, plain)
        layers = [node.name for node in graph.graph.node if node.op_type == "Conv"]
        quantize_static(
            plain, out, _Reader(pictures), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax, nodes_to_exclude=layers[:FLOAT_LAYERS],
        )  # fmt: skip
        with open(out, "rb") as file:
            return file.read()


def calibration(folder: str, card: dict[str, Any], *, seed: int) -> NDArray[np.float32]:
    """The whole and the regions of PHOTOS photos of a folder, drawn by the seed, as the network takes them."""
    paths = listing(folder)
    squares: list[NDArray[np.uint8]] = []
    for at in np.random.default_rng(seed).permutation(len(paths)):
        if len(squares) == PHOTOS:
            break
        path = paths[at]
        with open(path, "rb") as file:
            decoded = image.decode(file.read(), path=path, side=card["size"])
        if not isinstance(decoded, Failure):
            squares.append(embedding.squares(decoded.pixels, embedding.REGIONS, side=card["size"]))
    if not squares:
        raise UsageError(f"there are no photos in {folder}")
    return embedding.planes(np.concatenate(squares), mean=card["mean"], std=card["std"])


def main(line: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m imkin.train.quantize", description=__doc__.split("\n")[0])
    parser.add_argument("model", help="the network of imkin.train.kin, .onnx, its card beside it")
    parser.add_argument("--photos", required=True, help="folder of photos that show what values occur")
    parser.add_argument("--out", required=True, help="the model to write, .onnx")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(line)
    try:
        with open(wanted.model, "rb") as file, open(card_path(wanted.model), encoding="utf-8") as beside:
            model, card = file.read(), json.load(beside)
        small = quantized(model, calibration(wanted.photos, card, seed=wanted.seed))
        card |= {"sha256": hashlib.sha256(small).hexdigest(), "quantized_from": card["sha256"]}
        write_both((wanted.out, small), (card_path(wanted.out), json.dumps(card, indent=1).encode()))
    except (ImkinError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
