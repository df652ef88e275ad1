"""Cut a classifier before its last layer: what goes into it are features, what comes out are scores."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from imkin.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from onnx import GraphProto


def penultimate(model: bytes | str, *, name: str) -> tuple[bytes, str]:
    """A model (bytes, or a path) that gives the input of its last fully connected layer; and that output's name.

    The last Gemm, or where there is none the last MatMul with a constant. UsageError: it has neither.
    MissingExtraError: the package onnx is not installed; onnxruntime alone cannot change a graph.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(f"cutting {name} before its last layer", "models")
    import onnx

    try:
        loaded = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    except Exception as error:  # protobuf's own errors, without a base that onnx names
        raise UsageError(f"{name} cannot be used as an ONNX model: {error}") from error
    output = _last_layer_input(loaded.graph)
    if output is None:
        raise UsageError(f"{name} cannot be cut before its last layer: it has no fully connected one")
    del loaded.graph.output[:]
    # Without a type: the runtime infers it.
    loaded.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    return loaded.SerializeToString(), output


def _last_layer_input(graph: GraphProto) -> str | None:
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    layers = [node for node in graph.node if node.op_type == "Gemm"] or [
        node for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants
    ]
    return layers[-1].input[0] if layers else None
