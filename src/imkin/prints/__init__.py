"""The registry of methods: a name leads to a fingerprinter, loaded when it is asked for.

A built-in method is one line of `BUILT_IN`. A plugin is an entry point of the group `imkin.fingerprinters`:
a callable without arguments that returns a `types.Fingerprinter`; it may take `turns: bool` by keyword.
A plugin that has a built-in method's name is left aside: a method's name means one thing everywhere.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

import numpy as np
from numpy.typing import NDArray

from imkin.errors import ImkinError, UsageError
from imkin.types import Fingerprinter, Prints, Spec

GROUP = "imkin.fingerprinters"
TURNS = 8


@dataclass(frozen=True, slots=True)
class Method:
    """One way to compare. target: "module:factory", imported on use. about: one line for a person.

    turns: the factory takes `turns`; None: not known before it is loaded.
    """

    name: str
    target: str
    about: str
    turns: bool | None = False


BUILT_IN = (
    Method(
        "auto",
        "imkin.prints.auto:fingerprinter",
        "kin, pdq and laying one onto the other, as a probability",
        turns=True,
    ),
    Method("exact", "imkin.prints.exact:fingerprinter", "same bytes, by sha256"),
    Method("ahash", "imkin.prints.mean:fingerprinter", "64 bits: brighter than the mean, as imagehash", turns=True),
    Method("dhash", "imkin.prints.gradient:fingerprinter", "64 bits: brighter to the right, as imagehash", turns=True),
    Method("phash", "imkin.prints.dct:fingerprinter", "64 bits: low frequencies, as imagehash", turns=True),
    Method("pdq", "imkin.prints.pdq:fingerprinter", "256 bits: low frequencies, as Meta's PDQ", turns=True),
    Method("vote", "imkin.prints.vote:fingerprinter", "two of ahash, phash and dhash at least", turns=True),
    Method("kin", "imkin.prints.embedding:fingerprinter", "built-in copy-detection network, whole and regions"),
    Method("ssim", "imkin.prints.ssim:fingerprinter", "mean structural similarity of the gray pictures"),
)

# Networks that are fetched or given as a file: not among `names()`, all of which can be loaded here and now.
NETWORKS = (
    "resnet50", "inception-v3", "efficientnet-b0", "mobilenet-v3", "dinov2-small", "dinov2-base", "clip-vit-b32",
    "siglip", "sscd",
)  # fmt: skip
OWN = "onnx:"
"""A method's name that begins so is the path of a network of the user's own."""


def names() -> tuple[str, ...]:
    """Names of all methods: the built-in ones in their order, then the plugins by name."""
    return tuple(_methods())


def about(name: str) -> str:
    """One line that says what a method compares. Loads nothing. UsageError if there is no such method."""
    return _method(name).about


def spec(name: str, *, turns: bool = False) -> Spec:
    """Spec of a method's values. UsageError as `fingerprinter`."""
    return fingerprinter(name, turns=turns).spec


def fingerprinter(name: str, *, turns: bool = False) -> Fingerprinter:
    """The fingerprinter of a method.

    turns: values hold the fingerprints of all eight turns and mirrors, the upright one first (see `turn_parts`).
    UsageError: no such method, a method without turns, or a plugin that cannot be loaded.
    """
    if name in NETWORKS or name.startswith(OWN):
        if turns:
            raise UsageError(f"`{name}` does not look at turned and mirrored pictures; {_able()}")
        return _load("imkin.models:fingerprinter")(name)
    method = _method(name)
    try:
        factory = _load(method.target)
        has_turns = method.turns if method.turns is not None else "turns" in inspect.signature(factory).parameters
        if turns and not has_turns:
            raise UsageError(f"method `{name}` does not look at turned and mirrored pictures; {_able()}")
        made = factory(turns=turns) if has_turns else factory()
        if made.spec.name != name:
            raise ValueError(f"its spec is named `{made.spec.name}`")
    except ImkinError:
        raise
    except Exception as error:  # a plugin is anybody's code: whatever it raises, it is its set-up that is wrong
        raise UsageError(f"method `{name}` ({method.target}) cannot be loaded: {error!r}; mend or remove it") from error
    return made


def turn_parts(prints: Prints) -> NDArray[np.uint8]:
    """View (n, 8, nbytes) of values made with `turns`, the upright one first; (n, 1, nbytes) of values without."""
    turns = cast(int, prints.spec.params.get("turns", 1))
    values = cast(NDArray[np.uint8], prints.values)
    return values.reshape(len(values), turns, values.shape[1] // turns)


def values_of(values: Sequence[bytes], spec: Spec) -> NDArray[np.generic]:
    """Values of fingerprints, as in `Prints.values`, of their bytes as the catalogue keeps them."""
    kind: type[np.generic] = np.float32 if spec.kind == "unit vector" else np.uint8
    width = {"bytes": 32, "bits": spec.dim // 8, "unit vector": spec.dim * 4, "gray image": 8, "record": spec.dim // 8}[
        spec.kind
    ]
    flat = np.frombuffer(b"".join(values), kind)
    return flat.reshape(len(values), width // np.dtype(kind).itemsize)


def turn(picture: NDArray[np.generic], t: int) -> NDArray[np.generic]:
    """Turn t (0..7) of a (h, w, …) array, a view: 0 is upright, 1..3 are quarter turns to the left, 4..7 mirror first.

    Every method's turns come in this order.
    """
    return np.rot90(picture[:, ::-1] if t >= TURNS // 2 else picture, t % 4)


def _able() -> str:
    return f"these do: {', '.join(method.name for method in BUILT_IN if method.turns)}"


def _method(name: str) -> Method:
    methods = _methods()
    if name not in methods:
        near = difflib.get_close_matches(name, (*methods, *NETWORKS), n=3, cutoff=0.5)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise UsageError(f"unknown method `{name}`; known: {', '.join(methods)}{nearest} (see `imkin methods`)")
    return methods[name]


def _methods() -> dict[str, Method]:
    methods = {method.name: method for method in BUILT_IN}
    for point in sorted(_plugins(), key=lambda point: (point.name, point.value)):
        if point.name not in methods:
            source = f" of {point.dist.name}" if point.dist else ""
            methods[point.name] = Method(point.name, point.value, f"plugin{source}: {point.value}", turns=None)
    return methods


@cache
def _plugins() -> tuple[EntryPoint, ...]:
    # Reading the metadata of some 100 installed packages takes 20 ms: once a process.
    return tuple(entry_points(group=GROUP))


@cache
def _load(target: str) -> Callable[..., Fingerprinter]:
    module, _, factory = target.partition(":")
    return cast(Callable[..., Fingerprinter], getattr(importlib.import_module(module), factory))
