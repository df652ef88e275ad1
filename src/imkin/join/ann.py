"""Nearest vectors through a graph (HNSW, Malkov and Yashunin 2016): approximate, and said to be so. faiss lives here.

A graph finds candidates; how alike they are is measured elsewhere, on the vectors themselves: a graph keeps 8 bits of
each number. It is built by one thread and so is the same for the same vectors; several are built side by side.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imkin.join.ann_pairs import Candidates, candidates

__all__ = ["ROUGH", "Candidates", "Graph", "candidates"]

Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]

# benchmarks/search.py: of a million vectors of 256 numbers this effort finds 0.973 of the ten nearest in 3.2 ms of
# processor, twice as much 0.992 in 8.5 ms.
LINKS, BUILD_EFFORT, SEARCH_EFFORT = 16, 64, 48
# Vectors from which the steps of 8 bits are taken.
SAMPLE = 16_384
# What 8 bits make of a similarity of unit vectors: seen up to 0.004 (tests/test_ann.py).
ROUGH = 0.01


class Graph:
    """A graph of vectors with a number each. For any number of threads."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @staticmethod
    def build(numbers: Numbers, vectors: Vectors) -> Graph:
        """Of (n, dim) vectors of length 1 and their numbers. About 0.4 ms of one thread a vector."""
        faiss = _faiss()
        if not len(numbers):
            return Graph(faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1])))
        dim = vectors.shape[1]
        graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_EFFORT
        graph.train(vectors[:: max(1, len(vectors) // SAMPLE)])
        index = faiss.IndexIDMap(graph)
        index.add_with_ids(vectors, numbers)
        return Graph(index)

    def save(self, path: str) -> None:
        """Write to a file, and on to the disk. OSError if that fails."""
        try:
            _faiss().write_index(self._index, path)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def load(path: str) -> Graph:
        """Of a file that `save` wrote, mapped into memory rather than read. OSError if it is none."""
        faiss = _faiss()
        try:
            return Graph(faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            raise OSError(f"{path}: {error}") from None

    def search(self, vectors: Vectors, count: int) -> tuple[Numbers, Vectors]:
        """Numbers (m, count) of the vectors nearest each of m, by falling similarity, and roughly how alike they are.

        -1 where there are no more.
        """
        if not len(self):
            return np.full((len(vectors), count), -1), np.zeros((len(vectors), count), np.float32)
        faiss = _faiss()
        effort = faiss.SearchParametersHNSW(efSearch=max(SEARCH_EFFORT, count))
        similar, numbers = self._index.search(np.ascontiguousarray(vectors, np.float32), count, params=effort)
        return numbers, similar


class Flat:
    """Codes (n, bytes) uint8 that are compared one by one, exactly. For any number of threads."""

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._index = _faiss().IndexBinaryFlat(codes.shape[1] * 8)
        self._index.add(np.ascontiguousarray(codes))

    def reach(self, code: NDArray[np.uint8], count: int) -> int:
        """How many bits the `count`-th nearest differs in, of all where there are fewer."""
        _faiss()
        bits, _ = self._index.search(code[None], min(count, self._index.ntotal))
        return int(bits[0, -1])

    def within(self, code: NDArray[np.uint8], most: int) -> tuple[Numbers, NDArray[np.int64]]:
        """Positions of those that differ in at most so many bits, and in how many, in no order."""
        _faiss()
        _, bits, positions = self._index.range_search(code[None], most + 1)
        return positions.astype(np.int64), bits.astype(np.int64)


def _faiss() -> Any:
    # 0.1 s and 30 MB: only when a graph is wanted.
    import faiss

    # Of the calling thread. Threads that wait for each other cost more than one search, and make graphs differ.
    faiss.omp_set_num_threads(1)
    return faiss
