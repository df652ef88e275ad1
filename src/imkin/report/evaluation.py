"""evaluation.html: precision and recall by threshold, and the worst errors side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imkin.measured import Evaluation, Judged, Score
from imkin.report.chart import Axis, Line, Mark, chart
from imkin.report.files import write_atomic
from imkin.report.head import text
from imkin.report.page import Thumbnail, page, side_by_side, table

LOWEST = 0.5
"""Left end of the chart's axis of similarity."""


def write_evaluation(path: str, found: Evaluation, *, about: dict[str, str], thumbnail: Thumbnail) -> None:
    """Write the page. Raises OutputError."""
    figures = [
        (f"{found.uap:.4f}", "uAP"),
        (f"{found.recall_at_fpr:.4f}", f"recall at {found.fpr:g} false"),
        (f"{found.best.f1:.4f}", f"best F1, at {found.best.threshold:.4f}"),
        (f"{found.images:,}", "images"),
        (f"{found.true_pairs:,}", "true pairs"),
        (f"{found.false_pairs:,}", "false pairs"),
    ]
    write_atomic(path, page(_body(found, thumbnail), title="How right it is", about=about, figures=figures))


def _body(found: Evaluation, thumbnail: Thumbnail) -> Iterator[str]:
    yield "<section>\n<h2>By threshold</h2>\n"
    ticks = [(each / 5, f"{each * 20} %") for each in range(6)]
    across = [((tenth - 5) / 5, f"{tenth / 10:.1f}") for tenth in range(5, 11)]
    rule = (max(0.0, (found.at.threshold - LOWEST) / (1 - LOWEST)), "in use")
    yield from chart(
        [
            _line("precision", [(score, score.precision) for score in found.thresholds]),
            _line("recall", [(score, score.recall) for score in found.thresholds]),
            _line("F1", [(score, score.f1) for score in found.thresholds]),
        ],
        Axis("threshold (least similarity of a pair)", across, rule),
        Axis("share", ticks),
        about="Precision, recall and F1 by threshold",
    )
    named = [("in use", found.at), ("best F1", found.best), *(("", score) for score in found.thresholds)]
    yield table(
        ["threshold", "", "precision", "recall", "F1", "true found", "false found"], [_row(*row) for row in named]
    )
    yield f'<p class="note">{text(few_note(found))}</p>\n</section>\n'
    if found.recall_by_kind:
        rows = [[text(kind), f"{share:.1%}"] for kind, share in found.recall_by_kind.items()]
        heading = f"Recall at {found.fpr:g} false pairs, by kind"
        yield f"<section>\n<h2>{heading}</h2>\n{table(['kind', 'recall'], rows)}</section>\n"
    yield from _gallery(
        "False pairs that look most alike", found.false_matches, "Is the truth right about all of these?", thumbnail
    )
    yield from _gallery("True pairs that look least alike", found.misses, "The first to be missed.", thumbnail)


def few_note(found: Evaluation) -> str:
    """What the recall at a rate of false pairs is worth with so few of them; empty where there are enough."""
    if found.fpr * found.false_pairs >= 1:
        return ""
    return (
        f"{found.false_pairs:,} false pairs are too few for a rate of {found.fpr:g}: the recall is that above the most "
        "alike of them, and more pictures would lower it."
    )


def _line(name: str, points: Sequence[tuple[Score, float | None]]) -> Line:
    placed = [((score.threshold - LOWEST) / (1 - LOWEST), value, True) for score, value in points if value is not None]
    marks = [Mark(x, y, f"{name} {y:.4f} at {x * (1 - LOWEST) + LOWEST:.2f}") for x, y, _ in placed]
    return Line(name, placed, marks)


def _row(words: str, score: Score) -> list[str]:
    precision = "–" if score.precision is None else f"{score.precision:.4f}"
    counts = [f"{score.true_found:,}", f"{score.false_found:,}"]
    return [f"{score.threshold:.4f}", words, precision, f"{score.recall:.4f}", f"{score.f1:.4f}", *counts]


def _gallery(title: str, pairs: Sequence[Judged], words: str, thumbnail: Thumbnail) -> Iterator[str]:
    if not pairs:
        return
    yield f'<section>\n<h2>{title}</h2>\n<p>{words}</p>\n<ul class="pairs">\n'
    for pair in pairs:
        yield from side_by_side((pair.a, pair.b), f"{pair.similarity:.4f}", thumbnail=thumbnail)
    yield "</ul>\n</section>\n"
