"""The frame of a page without script: head, title, facts, figures; and pictures side by side."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterator, Mapping, Sequence

from imkin.report.head import head, text
from imkin.report.html import file_url

Thumbnail = Callable[[str], bytes | None]
"""JPEG bytes of the image at a path; None leaves a blank."""


def page(
    body: Iterator[str], *, title: str, about: Mapping[str, str], figures: Sequence[tuple[str, str]]
) -> Iterator[bytes]:
    """A whole page: one file that loads nothing and runs nothing. figures: (number, what it counts)."""
    yield head(title, styles=("report.css", "chart.css")).encode()
    yield f'<header class="top">\n<h1>{text(title)}</h1>\n<dl class="about">\n'.encode()
    for name, value in about.items():
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n".encode()
    yield b'</dl>\n<dl class="figures">\n'
    for number, noun in figures:
        yield f"<div><dd>{text(number)}</dd><dt>{text(noun)}</dt></div>\n".encode()
    yield b"</dl>\n</header>\n<main>\n"
    for part in body:
        yield part.encode("utf-8")
    yield b"</main>\n</body>\n</html>\n"


def side_by_side(paths: tuple[str, str], words: str, *, thumbnail: Thumbnail) -> Iterator[str]:
    """Two pictures beside each other, and words below them; an item of a list of class `pairs`."""
    yield '<li>\n<div class="two">'
    for path in paths:
        jpeg = thumbnail(path)
        picture = (
            f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" alt="">' if jpeg else "no preview"
        )
        yield f'<a class="frame" href="{html.escape(file_url(path))}" title="{text(path)}">{picture}</a>'
    yield f'</div>\n<p class="score">{text(words)}</p>\n'
    yield "".join(f'<p class="folder">{text(path)}</p>\n' for path in paths)
    yield "</li>\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are markup already. The first cell of a row is its heading."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
