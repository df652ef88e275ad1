"""Line charts as SVG inside a page: a few lines with their names, dashed where a value is not measured."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 52, 92, 32, 48
COLOURS = 8
"""Line i has the class `c{i % COLOURS}` of chart.css."""
LABEL_GAP = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A point set apart, in 0..1 of the axes, and the words that show when it is pointed at."""

    x: float
    y: float
    words: str
    filled: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One line. points: (x, y, sure) in 0..1 of the axes, in the line's order; dashed beside a point not sure."""

    name: str
    points: Sequence[tuple[float, float, bool]]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """What stands along an axis. ticks: place in 0..1, words. rule: a line across the chart at this place."""

    label: str
    ticks: Sequence[tuple[float, str]]
    rule: tuple[float, str] | None = None


def chart(lines: Sequence[Line], x: Axis, y: Axis, *, about: str) -> Iterator[str]:
    """The chart's markup. about: what it shows, for who cannot see it."""
    yield f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(about)}">\n'
    foot = HEIGHT - BOTTOM
    for at, words in y.ticks:
        yield f'<path class="grid" d="M{LEFT} {_y(at)}H{WIDTH - RIGHT}"/>\n'
        yield _text(words, LEFT - 8, _y(at) + 4, anchor="end")
    for at, words in x.ticks:
        yield f'<path class="grid" d="M{_x(at)} {TOP}V{foot}"/>\n'
        yield _text(words, _x(at), foot + 18, anchor="middle")
    yield _text(x.label, _x(0.5), HEIGHT - 8, anchor="middle")
    yield _text(y.label, 4, 14, anchor="start")
    if x.rule:
        yield f'<path class="rule" d="M{_x(x.rule[0])} {TOP}V{foot}"/>\n'
        yield _text(x.rule[1], _x(x.rule[0]) + 5, foot - 8, anchor="start")
    for number, line in enumerate(lines):
        yield from _line(number, line)
    yield from _names(lines)
    yield "</svg>\n"


def _line(number: int, line: Line) -> Iterator[str]:
    yield f'<g class="c{number % COLOURS}">'
    for (x0, y0, sure0), (x1, y1, sure1) in pairwise(line.points):
        dashed = "" if sure0 and sure1 else ' class="guess"'
        yield f'<path{dashed} d="M{_x(x0)} {_y(y0)}L{_x(x1)} {_y(y1)}"/>'
    for mark in line.marks:
        hollow = "" if mark.filled else ' class="hollow"'
        words = html.escape(mark.words)
        yield f'<circle{hollow} cx="{_x(mark.x)}" cy="{_y(mark.y)}" r="5"><title>{words}</title></circle>'
    yield "</g>\n"


def _names(lines: Sequence[Line]) -> Iterator[str]:
    """Names at the right ends of the lines, moved apart."""
    ends = sorted((_y(line.points[-1][1]), number) for number, line in enumerate(lines) if line.points)
    low = -float("inf")
    placed = []
    for y, number in ends:
        low = max(y, low + LABEL_GAP)
        placed.append((low, number))
    over = max(0.0, low - (HEIGHT - BOTTOM)) if placed else 0.0
    for y, number in placed:
        line = lines[number]
        yield _text(line.name, _x(line.points[-1][0]) + 8, y - over + 4, kind=f"name c{number % COLOURS}")


def _text(words: str, x: float, y: float, *, anchor: str = "start", kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>\n'


def _x(at: float) -> float:
    return round(LEFT + at * (WIDTH - RIGHT - LEFT), 1)


def _y(at: float) -> float:
    return round(TOP + (1 - at) * (HEIGHT - TOP - BOTTOM), 1)
