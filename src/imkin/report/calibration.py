"""calibration.html: found against false, a table, recall by kind of edit, and the pairs that a person should see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from imkin.measured import Calibrated, Calibration, Likeness, Point
from imkin.report.chart import COLOURS, Axis, Line, Mark, chart
from imkin.report.files import write_atomic
from imkin.report.head import text
from imkin.report.page import Thumbnail, page, side_by_side, table

# The chart's horizontal axis: powers of ten of false pairs per million.
LOWEST, HIGHEST = -2, 4
# A kind of edit that is found less often than this is set apart in the table.
FEW = 0.5
SHOWN_LIKELY = 60


def write_calibration(
    path: str, found: Calibration, *, folders: Sequence[str], made: str, thumbnail: Thumbnail
) -> None:
    """Write the page. made: when, for a person. Raises OutputError."""
    figures = [
        (f"{found.pictures:,}", "pictures"),
        (f"{found.methods[0].pairs:,}" if found.methods else "0", "pairs of different ones"),
        (f"{found.edited * len(found.edits):,}", "edits"),
        (f"{len(found.likely_same):,}", "likely copies, left out"),
    ]
    about = {
        "Folders": ", ".join(folders),
        "Made": made,
        "Wanted": f"{found.false_per_million:g} false pairs in a million",
    }
    write_atomic(path, page(_body(found, thumbnail), title="What a threshold means here", about=about, figures=figures))


def rate_text(point: Point) -> str:
    """False pairs per million; with an asterisk where they are not counted but extrapolated."""
    rate = point.false_per_million
    shown = "<0.01" if rate < 0.01 else f"{rate:,.0f}" if rate >= 100 else f"{rate:.2g}"
    return shown + ("*" if point.extrapolated else "")


def _body(found: Calibration, thumbnail: Thumbnail) -> Iterator[str]:
    yield "<section>\n<h2>How much is found, and how much is false</h2>\n<p>Each line is a method, from a "
    yield "high threshold on the left to a low one on the right. A dot is the recommended threshold, a circle the "
    yield "method’s own.</p>\n"
    yield from chart(
        [_line(each) for each in found.methods],
        _across(found.false_per_million),
        Axis("edits found", [(each / 5, f"{each * 20} %") for each in range(6)]),
        about="Share of edits found against false pairs per million, a line for each method",
    )
    yield f'<p class="note">{text(tail_note(found))}</p>\n</section>\n'
    yield f"<section>\n<h2>Thresholds</h2>\n{_thresholds(found)}</section>\n"
    yield f"<section>\n<h2>Found at the recommended threshold, by kind of edit</h2>\n{_kinds(found)}</section>\n"
    yield from _pairs(found, thumbnail)
    yield f"<section>\n<h2>Every threshold</h2>\n{''.join(_curve(each) for each in found.methods)}</section>\n"


def tail_note(found: Calibration) -> str:
    """What was counted and what was not, in words."""
    pairs = found.methods[0].pairs if found.methods else 0
    return (
        f"Dashed, and marked *: fewer than 10 of the {pairs:,} pairs of different pictures came so close, so the rate "
        "is not counted but extrapolated by an exponential tail. Edits of one picture count as one."
    )


def _across(wanted: float) -> Axis:
    ticks = [(_place(10.0**power), f"{10.0**power:,g}") for power in range(LOWEST, HIGHEST + 1)]
    return Axis("false pairs per million (of pairs of different pictures)", ticks, (_place(wanted), "wanted"))


def _place(rate: float) -> float:
    power = math.log10(max(rate, 10.0**LOWEST))
    return (min(power, HIGHEST) - LOWEST) / (HIGHEST - LOWEST)


def _line(method: Calibrated) -> Line:
    points = [
        (_place(point.false_per_million), point.recall, not point.extrapolated)
        for point, lower in zip(method.curve, [*method.curve[1:], None], strict=True)
        # Beyond what a tail is believed, the rate stays the same: that is no line.
        if lower is None or point.false_per_million < lower.false_per_million
        if 10.0**LOWEST <= point.false_per_million <= 10.0**HIGHEST
    ]
    marks = [
        Mark(_place(point.false_per_million), point.recall, f"{method.name}: {words} {point.threshold:.4f}", filled)
        for point, words, filled in ((method.own, "own threshold", False), (method.recommended, "recommended", True))
        if point is not None and point.false_per_million <= 10.0**HIGHEST
    ]
    return Line(method.name, points, marks)


def _thresholds(found: Calibration) -> str:
    columns = ["method", "recommended", "found", "false / million", "own threshold", "found", "false / million"]
    rows = []
    for number, method in enumerate(found.methods):
        cells = [f'<span class="c{number % COLOURS}">{text(method.name)}</span>']
        cells += _cells(method.recommended) if method.recommended else ["none", "", ""]
        rows.append(cells + _cells(method.own))
    out = "".join(f"<p>{text(name)} is left out: it {text(reason)}.</p>" for name, reason in found.left_out.items())
    return table(columns, rows) + out


def _cells(point: Point) -> list[str]:
    return [f"{point.threshold:.4f}", f"{point.recall:.1%}", rate_text(point)]


def _kinds(found: Calibration) -> str:
    rows = []
    for edit in found.edits:
        shares = [method.recall.get(edit) for method in found.methods]
        rows.append([text(edit), *(_share(share) for share in shares)])
    return table(["edit", *(text(method.name) for method in found.methods)], rows)


def _share(share: float | None) -> str:
    if share is None:
        return '<span class="none">–</span>'
    return f'<span class="few">{share:.0%}</span>' if share < FEW else f"{share:.0%}"


def _pairs(found: Calibration, thumbnail: Thumbnail) -> Iterator[str]:
    if found.likely_same:
        yield f"<section>\n<h2>Likely copies in the folder</h2>\n<p>{len(found.likely_same):,} pairs are taken for the "
        yield "same picture, by two methods or by your decision, and count as no false pairs.</p>\n"
        yield from _gallery(found.likely_same[:SHOWN_LIKELY], thumbnail)
        yield "</section>\n"
    yield "<section>\n<h2>The closest pairs that count as different</h2>\n<p>Where one of them is a copy after all, "
    yield "tell it with imkin mark A B --same and calibrate again: a copy among the false pairs makes thresholds too "
    yield "high.</p>\n"
    shown: dict[tuple[str, str], Likeness] = {}
    for method in found.methods:
        for pair in method.closest[:3]:
            shown.setdefault((pair.a, pair.b), pair)
    yield from _gallery(list(shown.values()), thumbnail)
    yield "</section>\n"


def _gallery(pairs: Sequence[Likeness], thumbnail: Thumbnail) -> Iterator[str]:
    yield '<ul class="pairs">\n'
    for pair in pairs:
        words = "  ".join(f"{name} {value:.3f}" for name, value in pair.similarities.items())
        yield from side_by_side((pair.a, pair.b), words, thumbnail=thumbnail)
    yield "</ul>\n"


def _curve(method: Calibrated) -> str:
    rows = [[f"{point.threshold:.4f}", f"{point.recall:.1%}", rate_text(point)] for point in method.curve]
    inside = table(["threshold", "found", "false / million"], rows)
    return f"<details><summary>{text(method.name)}</summary>\n{inside}</details>\n"
