"""A hub of networks on loopback, spoken to by the real client, and small networks to put on it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

# Read when huggingface_hub is imported: no telemetry, plain HTTP.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from servers import QuietServer, running

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(QuietServer):
    """files: (repository, path) → content. asked: the requests, in order.

    cut: so many bytes of a body are sent, then the connection ends; once, or at each request. status: what is answered
    instead of anything else. commit: what `main` is.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.cut: int | None = None
        self.cut_once = True
        self.status: int | None = None
        self.commit = COMMIT
        self.lock = threading.Lock()


@contextlib.contextmanager
def hub() -> Iterator[tuple[Hub, str]]:
    server = Hub()
    with running(server) as base:
        yield server, base


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.reply(body=False)

    def do_GET(self) -> None:
        self.reply(body=True)

    def reply(self, *, body: bool) -> None:
        with self.server.lock:
            self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        if self.server.status is not None:
            self.refuse(self.server.status)
            return
        owner, name, word, revision, *rest = self.path.lstrip("/").split("/")
        repository, path = f"{owner}/{name}", "/".join(rest)
        if word != "resolve" or repository not in {known for known, _ in self.server.files}:
            self.refuse(404, "RepoNotFound")
        elif revision not in ("main", self.server.commit):
            self.refuse(404, "RevisionNotFound")
        elif (repository, path) not in self.server.files:
            self.refuse(404, "EntryNotFound")
        else:
            self.send_file(self.server.files[repository, path], body=body)

    def refuse(self, status: int, code: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("X-Repo-Commit", self.server.commit)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()

    def send_file(self, content: bytes, *, body: bool) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.server.commit)
        self.end_headers()
        if not body:
            return
        if self.server.cut is not None:
            self.wfile.write(content[start : start + self.server.cut])
            self.wfile.flush()
            self.close_connection = True
            self.server.cut = None if self.server.cut_once else 0
            return
        self.wfile.write(content[start:])


def network(
    dim: int = 32,
    *,
    batch: int | str = "n",
    size: int | str | tuple[int, int] = "side",
    channels: int | str = 3,
    nhwc: bool = False,
    uint8: bool = False,
    tail: str = "vectors",
    output: str = "vectors",
    inputs: int = 1,
    blind: bool = False,
    seed: int = 0,
) -> bytes:
    """A network of two layers, as an ONNX file: sees edges and colours, gives `dim` numbers.

    tail: vectors (n, dim); pooled (n, dim, 1, 1); tokens (n, tokens, dim); logits, 10 scores after a layer of dim;
    nan; zeros; empty (n, 0); labels, of integers; scalar, one number for all. blind: sees no red.
    """
    rng = np.random.default_rng(seed)
    constants, nodes, last = {}, [], "x"

    def add(kind: str, *given: str, name: str | None = None, **attributes: object) -> str:
        made = name or f"{kind.lower()}{len(nodes)}"
        nodes.append(helper.make_node(kind, list(given), [made], **attributes))
        return made

    def constant(name: str, values: object, kind: type = np.float32) -> str:
        constants[name] = numpy_helper.from_array(np.asarray(values, kind), name)
        return name

    if uint8:
        last = add("Div", add("Cast", last, to=TensorProto.FLOAT), constant("white", 255))
    if nhwc:
        last = add("Transpose", last, perm=[0, 3, 1, 2])
    count = channels if isinstance(channels, int) else 3
    edges = rng.normal(size=(16, count, 5, 5))
    edges[:, 0] *= not blind
    last = add("Relu", add("Conv", last, constant("edges", edges - edges.mean((2, 3), keepdims=True)), strides=[3, 3]))
    parts = constant("parts", rng.normal(size=(dim, 16, 3, 3)) / 12)
    last = add("Relu", add("Conv", last, parts, strides=[2, 2]))
    if tail == "tokens":
        flat = add("Reshape", last, constant("flat", [0, dim, -1], np.int64))
        add("Transpose", flat, perm=[0, 2, 1], name=output)
    else:
        last = add("GlobalAveragePool", last, **({"name": output} if tail == "pooled" else {}))
        last = last if tail == "pooled" else add("Flatten", last, **({"name": output} if tail == "vectors" else {}))
    if tail == "logits":
        last = add("Gemm", last, constant("classes", rng.normal(size=(dim, 10))), constant("bias", np.ones(10)))
        add("Identity", last, name=output)
    elif tail == "nan":
        add("Sqrt", add("Sub", last, constant("far", 1e6)), name=output)
    elif tail == "zeros":
        add("Mul", last, constant("nothing", 0), name=output)
    elif tail == "empty":
        whole = {"starts": [0], "ends": [0], "axes": [1]}
        add("Slice", last, *(constant(name, value, np.int64) for name, value in whole.items()), name=output)
    elif tail == "labels":
        add("ArgMax", last, axis=1, keepdims=0, name=output)
    elif tail == "scalar":
        add("ReduceMean", last, keepdims=0, name=output)
    height, width = size if isinstance(size, tuple) else (size, size if isinstance(size, int) else "width")
    shape = [batch, height, width, channels] if nhwc else [batch, channels, height, width]
    kind = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    given = [helper.make_tensor_value_info("x", kind, shape)]
    given += [helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]) for i in range(1, inputs)]
    if inputs > 1:
        nodes[-1].output[0] = "before"
        nodes.append(helper.make_node("Add", ["before", "more1"], [output]))
    found = helper.make_tensor_value_info(output, TensorProto.INT64 if tail == "labels" else TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "small", given, [found], list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
