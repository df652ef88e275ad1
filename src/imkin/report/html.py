"""report.html: one file that opens offline and shows every group side by side.

The page holds its data as many small JSON blocks that the browser does not read until a group comes into view:
`groups` blocks with the words and figures, `thumbnails` blocks with the pictures, one `index` block to sort by.
Only the groups in view are in the document's tree, so that ten thousand of them scroll like ten.
Names come from anywhere: they reach the page only as JSON text and as escaped text, and the page's policy lets
no script run but its own.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from urllib.parse import quote

from imkin.report.files import shown, write_atomic
from imkin.report.head import head, read, text
from imkin.result import Group, Member, Result, rounded

Thumbnail = Callable[[str], bytes | None]

# A block is parsed whole when one of its groups comes into view: 128 KB take a browser about a millisecond.
BLOCK_BYTES = 128 * 1024
BLOCK_GROUPS = 64
# Of a set of thousands of copies the first pictures tell all; each costs 5 KB in the file.
THUMBNAILS_PER_GROUP = 60

_URL = re.compile(r"https?://", re.IGNORECASE)
_ROW = re.compile(r"!\d+!(https?://.*)", re.IGNORECASE | re.DOTALL)
_FRAME = re.compile(r"!/(\d+):(\d\d):(\d\d\.\d{3})(?:#\d+)?")


def write_html(
    path: str,
    result: Result,
    *,
    thumbnail: Thumbnail,
    title: str,
    about: Mapping[str, str],
    removable: Collection[str] | None = None,
) -> None:
    """Write the page group by group; memory holds one block of groups and a few numbers for each group.

    thumbnail: JPEG bytes of the image at a path, about 160 pixels on its long side; None leaves a blank.
    about: facts of the run to show at the top, in this order. removable: paths that may go, by default
    the members that say so. Raises OutputError.
    """
    write_atomic(path, _page(result, thumbnail=thumbnail, title=title, about=about, removable=removable))


def _page(
    result: Result,
    *,
    thumbnail: Thumbnail,
    title: str,
    about: Mapping[str, str],
    removable: Collection[str] | None,
) -> Iterator[bytes]:
    script = read("report.js")
    yield head(title, styles=("report.css",), script=script).encode()
    yield from (part.encode() for part in _header(result, title=title, about=about))
    yield from (part.encode() for part in _lists(result))
    yield (_TOOLBAR if result.groups else _NOTHING).encode()
    index = _Index()
    yield from _blocks(result.groups, index, thumbnail=thumbnail, removable=removable)
    yield _block("index", [index.count, index.least, index.won])
    yield f"<script>{script}</script>\n</body>\n</html>\n".encode()


def _header(result: Result, *, title: str, about: Mapping[str, str]) -> Iterator[str]:
    summary = result.summary
    method = f"{result.method}, similarity {result.threshold:g} and over, {result.grouping} groups"
    figures = [
        (f"{result.images:,}", "images"),
        (f"{summary.groups:,}", "groups"),
        (f"{summary.pairs:,}", "pairs"),
        (f"{summary.unique_images:,}", "unique images"),
        (f"{summary.removable:,}", "may go"),
        (byte_size(summary.removable_bytes), "to win"),
    ]
    yield f'<header class="top">\n<h1>{text(title)}</h1>\n<dl class="about">\n'
    for name, value in {**about, "Method": about.get("Method", method)}.items():
        yield f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n"
    yield '</dl>\n<dl class="figures">\n'
    for number, name in figures:
        yield f"<div><dd>{number}</dd><dt>{name}</dt></div>\n"
    yield "</dl>\n"


def _lists(result: Result) -> Iterator[str]:
    """What is no group, folded away; the browser fills a list when it is opened."""
    failures = [[shown(each.path), shown(f"{each.stage}: {each.reason}")] for each in result.failures]
    low = [[shown(path), ""] for path in result.low_quality]
    lists = (
        ("failures", failures, "could not be read", "These files were left out. None of them matches anything."),
        ("low", low, "too plain to compare", "Blank or tiny pictures would match everything, so they were left out."),
    )
    for key, rows, what, why in lists:
        if rows:
            noun = "file" if len(rows) == 1 else "files"
            yield (
                f'<details class="list" data-list="{key}"><summary>{len(rows):,} {noun} {what}</summary>'
                f"<p>{why}</p><ul></ul></details>\n" + _block(key, rows).decode()
            )
    yield "</header>\n"


@dataclass(slots=True)
class _Index:
    """What the page sorts by, an entry a group: images, least similarity of a pair, bytes to win."""

    count: list[int] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    won: list[int] = field(default_factory=list)


def _blocks(
    groups: tuple[Group, ...], index: _Index, *, thumbnail: Thumbnail, removable: Collection[str] | None
) -> Iterator[bytes]:
    words, pictures = _Block("groups"), _Block("thumbnails")
    for number, group in enumerate(groups):
        may_go = {m.path for m in group.members if (m.removable if removable is None else m.path in removable)}
        index.count.append(len(group.members))
        index.least.append(rounded(min((pair.similarity for pair in group.pairs), default=1.0)))
        index.won.append(sum(m.bytes for m in group.members if m.path in may_go))
        places, images = _thumbnails(group.members, thumbnail)
        content, related = group.members[0].sha256, group.relations
        rows = [
            [
                *_row(member, flags=(member.path in may_go) + 2 * (member.sha256 == content), place=place),
                related.get(member.path, ""),
            ]
            for member, place in zip(group.members, places, strict=True)
        ]
        yield from words.add(number, _json([shown(group.reason), rows]))
        yield from pictures.add(number, _json(images))
    yield from words.flush()
    yield from pictures.flush()


def _row(member: Member, *, flags: int, place: int) -> list[object]:
    """flags: 1 the member may go, 2 its bytes are those of the keeper."""
    name, size = shown(member.path), [member.width, member.height, member.bytes]
    similarity = None if member.similarity is None else rounded(member.similarity)
    return [name, file_url(member.path), *size, similarity, flags, place]


def _thumbnails(members: tuple[Member, ...], thumbnail: Thumbnail) -> tuple[list[int], list[str]]:
    """The place of each member's picture in the list of pictures, or -1. Equal files share one."""
    known: dict[str, int] = {}
    images: list[str] = []
    for member in members[:THUMBNAILS_PER_GROUP]:
        key = member.sha256 or member.path
        if key not in known:
            jpeg = thumbnail(member.path)
            known[key] = -1 if jpeg is None else len(images)
            if jpeg is not None:
                images.append(base64.b64encode(jpeg).decode())
    return [known.get(member.sha256 or member.path, -1) for member in members], images


class _Block:
    """Gathers the JSON texts of neighbouring groups until they fill a block."""

    def __init__(self, kind: str) -> None:
        self.kind, self.first, self.size = kind, 0, 0
        self.texts: list[str] = []

    def add(self, number: int, text: str) -> Iterator[bytes]:
        if not self.texts:
            self.first = number
        self.texts.append(text)
        self.size += len(text)
        if self.size >= BLOCK_BYTES or len(self.texts) >= BLOCK_GROUPS:
            yield from self.flush()

    def flush(self) -> Iterator[bytes]:
        if self.texts:
            attributes = f'class="{self.kind}" data-first="{self.first}"'
            yield f'<script type="application/json" {attributes}>[{",".join(self.texts)}]</script>\n'.encode()
        self.texts, self.size = [], 0


def _block(key: str, value: object) -> bytes:
    return f'<script type="application/json" id="{key}">{_json(value)}</script>\n'.encode()


def _json(value: object) -> str:
    """JSON that cannot end the script element that it stands in: ASCII only, without <, > and &."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def file_url(path: str) -> str:
    """Address of the original: an http address stays as it is, anything else is a file by its absolute path.

    Of what lies inside a file: a table's row leads to its URL, a frame to its time in the video, an entry to its
    archive.
    """
    if _URL.match(path):
        return quote(shown(path), safe="!#$%&'()*+,/:;=?@[]~")
    if "!" in path and not os.path.lexists(path):
        if row := _ROW.search(path):
            return file_url(row[1])
        for at in (at for at, letter in enumerate(path) if letter == "!" and os.path.isfile(path[:at])):
            frame = _FRAME.fullmatch(path[at:])
            seconds = frame and int(frame[1]) * 3600 + int(frame[2]) * 60 + float(frame[3])
            return file_url(path[:at]) + (f"#t={seconds:g}" if seconds is not None else "")
    return PurePath(os.path.abspath(path)).as_uri()


def byte_size(size: int) -> str:
    """Bytes for a person: 999 bytes, 1.5 KB, 23 MB (powers of 1000, two digits)."""
    value, unit = float(size), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 9.95 else f"{value:.1f} {unit}"


_TOOLBAR = """<main>
<div class="bar">
<label class="search"><span class="away">Search names and folders</span>
<input id="search" type="search" placeholder="Search names and folders" autocomplete="off" spellcheck="false"></label>
<label class="sort"><span class="away">Order</span>
<select id="sort">
<option value="found">As found</option>
<option value="won">Most space to win</option>
<option value="count">Most images</option>
<option value="alike">Most alike first</option>
<option value="unlike">Least alike first</option>
</select></label>
<div class="steps"><output id="place" aria-live="polite">Reading …</output>
<button id="previous" type="button" aria-label="Previous group" aria-keyshortcuts="k" title="Key k">↑</button>
<button id="next" type="button" aria-label="Next group" aria-keyshortcuts="j" title="Key j">↓</button></div>
</div>
<noscript><p class="empty">This page needs JavaScript to show the groups. It loads nothing.</p></noscript>
<div id="groups" role="feed" aria-label="Groups of near-duplicates"></div>
<p id="empty" class="empty" hidden></p>
</main>
<footer>Keys: <kbd>/</kbd> search, <kbd>j</kbd> next group, <kbd>k</kbd> previous group.</footer>
"""

_NOTHING = """<main><p class="empty">No two images are alike at this threshold.</p></main>
"""
