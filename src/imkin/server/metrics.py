"""Numbers for Prometheus, in its text format 0.0.4."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds; the bounds of the histogram.
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts of requests and how long they took, and gauges that are read when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[tuple[str, float]] = Counter()
        self._sums: Counter[str] = Counter()
        self._gauges: dict[str, tuple[str, str, Callable[[], float]]] = {}

    def seen(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Count one request. route: a path of the schema, never what a client wrote."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._sums[route] += seconds  # type: ignore[assignment]
            for bound in (*BOUNDS, float("inf")):
                if seconds <= bound:
                    self._seconds[route, bound] += 1

    def watch(self, name: str, about: str, read: Callable[[], float], *, kind: str = "gauge") -> None:
        """Tell a number whenever the metrics are asked for."""
        self._gauges[name] = (about, kind, read)

    def text(self) -> str:
        """All of it."""
        with self._lock:
            lines = [*self._request_lines(), *self._gauge_lines()]
        return "\n".join(lines) + "\n"

    def _request_lines(self) -> Iterator[str]:
        name = "imkin_http_requests_total"
        yield f"# HELP {name} Requests that were answered.\n# TYPE {name} counter"
        for (method, route, status), count in sorted(self._requests.items()):
            yield f'{name}{{method="{method}",route="{route}",status="{status}"}} {count}'
        name = "imkin_http_request_seconds"
        yield f"# HELP {name} How long requests took.\n# TYPE {name} histogram"
        for route, total in sorted(self._sums.items()):
            for bound in (*BOUNDS, float("inf")):
                shown = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield f'{name}_bucket{{route="{route}",le="{shown}"}} {self._seconds[route, bound]}'
            yield f'{name}_sum{{route="{route}"}} {total:.6f}'
            yield f'{name}_count{{route="{route}"}} {self._seconds[route, float("inf")]}'

    def _gauge_lines(self) -> Iterator[str]:
        for name, (about, kind, read) in sorted(self._gauges.items()):
            yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n{name} {read():g}"


def resident_bytes() -> float:
    """Memory of this process that is in use, where the system tells it."""
    if sys.platform != "linux":
        return 0.0
    with open("/proc/self/statm", "rb") as file:
        return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
