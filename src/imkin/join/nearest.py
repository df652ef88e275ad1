"""The fingerprints most like one, among many held in memory: exact, by a quick look at all and a careful one at few."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imkin import metric
from imkin.join import cosine
from imkin.types import Prints, Spec

Matrix = NDArray[np.float32]

# What a quick similarity in float32 may be off: sums of 4,096 products stay within it.
SLACK = 1e-5
# Rows looked at together: 8,192 × 6 KB are 50 MB.
ROWS = 8192
# Of vectors of records that are all but equal.
EQUAL = np.float32(0.9995)
# Equally similar ones are cut off after so many more than were asked for: a thousand blank pages are no answer.
TIES = 256


def best(query: Prints, many: Prints, count: int, *, threshold: float = 0.0) -> tuple[NDArray[np.int64], Matrix]:
    """At least the `count` fingerprints most like the first one of `query`, by falling likeness: (positions, likeness).

    Vectors come as `unit` makes them. Every one of the `count` best is among them, unless over TIES others are as
    similar to within SLACK. threshold: only those of at least this similarity, and some within SLACK below it.
    Quality is not looked at.
    """
    similar = np.concatenate([np.empty(0, np.float32), *_quick(query, many)])
    found = np.flatnonzero(similar >= threshold - SLACK)
    if len(found) > count:
        # The count-th largest; whatever lies within the slack of it may be the better one.
        limit = np.partition(similar[found], len(found) - count)[len(found) - count]
        found = found[similar[found] >= limit - SLACK]
    found = found[np.argsort(-similar[found], kind="stable")][: count + TIES]
    return found, similar[found]


def unit(prints: Prints) -> Prints:
    """The same with each part of each vector of length 1, float32; anything else as it is."""
    if prints.spec.kind != "unit vector":
        return prints
    count = regions(prints.spec)
    parts = np.asarray(prints.values, np.float32).reshape(len(prints), count, prints.spec.dim // count)
    length = np.linalg.norm(parts, axis=2, keepdims=True)
    values = np.divide(parts, length, out=np.zeros_like(parts), where=length > 0)
    return Prints(prints.spec, values.reshape(len(prints), prints.spec.dim), prints.quality)


def looked_at(prints: Prints) -> Prints:
    """What a quick look goes by: of records their vectors, of `looked_spec`; of others what `unit` makes of them."""
    if prints.spec.kind != "record":
        return unit(prints)
    from imkin.prints.auto import unpack

    vectors = unpack(prints.values).vectors
    spec = looked_spec(prints.spec)
    return Prints(spec, vectors.reshape(len(prints), spec.dim), prints.quality)


def looked_spec(spec: Spec) -> Spec:
    """What `looked_at` makes: of records vectors that are compared as `join.fused` weighs them."""
    if spec.kind != "record":
        return spec
    from imkin.join.fused import REGION, WHOLE
    from imkin.prints.auto import RECORD

    count, dim = RECORD["vectors"].shape
    params = {"regions": count, "region_share": REGION / (WHOLE + REGION)}
    return Spec(f"{spec.name} vectors", spec.version, "unit vector", count * dim, 0.0, spec.side, params)


def least_likeness(spec: Spec, threshold: float) -> float:
    """How like each other by a quick look two are at least that are of a similarity of `threshold` or more."""
    if spec.kind != "record":
        return threshold
    from imkin.join.fused import REGION, WHOLE, least_by_network

    return max(0.0, least_by_network(threshold) / (WHOLE + REGION))


def regions(spec: Spec) -> int:
    """How many parts a vector has, the whole picture's first."""
    return int(str(spec.params.get("regions", 1)))


def region_cost(spec: Spec) -> float:
    """What is taken off the likeness of a region."""
    return float(str(spec.params.get("region_cost", 0.0)))


def similarities(query: Prints, many: Prints) -> Matrix:
    """The exact similarity (n,) of the first fingerprint of `query` to each of `many`; see `metric.similarity`."""
    row: Matrix = metric.similarity(_first(query), many)[0]
    return row


def _quick(query: Prints, many: Prints) -> Iterator[Matrix]:
    spec = query.spec
    for start in range(0, len(many), ROWS):
        values = many.values[start : start + ROWS]
        if spec.kind != "unit vector":
            yield metric.similarity(_first(query), Prints(spec, values, many.quality[start : start + ROWS]))[0]
            continue
        one, block = (np.asarray(each, np.float32) for each in (query.values[:1], values))
        if "region_share" in spec.params:
            yield _weighed(one, block, spec)
            continue
        yield cosine.similarities(one, block, regions=regions(spec), cost=region_cost(spec))[0]


def _weighed(one: Matrix, block: Matrix, spec: Spec) -> Matrix:
    """Of (1, dim) and (n, dim): the cosine of the wholes, and of the best whole and region, each with its weight."""
    share, dim = np.float32(float(str(spec.params["region_share"]))), spec.dim // regions(spec)
    query, many = one.reshape(-1, dim), block.reshape(len(block), -1, dim)
    forth, back = many[:, 0] @ query.T, many[:, 1:] @ query[0]
    whole, region = forth[:, 0], np.maximum(forth[:, 1:].max(axis=1), back.max(axis=1))
    # Equal records are 1, however unlike the whole its regions are.
    weighed = np.where(whole >= EQUAL, np.float32(1), (1 - share) * whole + share * region)
    return np.asarray(weighed.clip(0, 1), np.float32)


def _first(query: Prints) -> Prints:
    return Prints(query.spec, query.values[:1], query.quality[:1])
