"""report.html: what it holds, that names cannot break out of it, and that a browser shows only what is in view."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from imkin.errors import OutputError
from imkin.report.html import BLOCK_GROUPS, THUMBNAILS_PER_GROUP, byte_size, file_url, write_html
from imkin.result import Group, Member, Pair, Relation, Result, Summary
from imkin.types import Failure

HOSTILE = (
    "/p/<img src=x onerror=alert(1)>.jpg",
    "/p/</script><script>alert(2)</script>.jpg",
    "/p/<!--<script>&amp;\"'`${alert(3)}.jpg",
    "/p/line\u2028break\n.jpg",
    os.fsdecode(b"/p/caf\xe9.jpg"),
)


def member(path: str, similarity: float | None = None, *, size: int = 1000) -> Member:
    digest = sha256(path.encode("utf-8", "surrogateescape")).hexdigest()
    return Member(path, digest, "", 640, 480, size, similarity, removable=similarity is not None)


def group_of(*paths: str, similarity: float = 0.96875, reason: str = "largest picture") -> Group:
    pairs = tuple(Pair(paths[0], path, similarity) for path in paths[1:])
    members = (member(paths[0]), *(member(path, similarity) for path in paths[1:]))
    return Group(paths[0], reason, members, pairs)


def result_of(*groups: Group, failures: tuple[Failure, ...] = (), low_quality: tuple[str, ...] = ()) -> Result:
    count = sum(len(group.members) for group in groups)
    summary = Summary(count, len(groups), len(groups), count - len(groups), 1000 * (count - len(groups)))
    return Result(1, "phash", 0.9, "transitive", count, failures, low_quality, groups, summary)


def thumbnail(path: str) -> bytes | None:
    return None if "none" in path else b"\xff\xd8" + os.fsencode(path)


class Page(HTMLParser):
    """Elements with their attributes and text, as a browser would split them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.source = path.read_bytes().decode("utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1][2].append(data)

    def data(self, *, key: str = "", kind: str = "") -> Iterator[object]:
        for tag, attributes, text in self.elements:
            if tag == "script" and (attributes.get("id") == key or (kind and attributes.get("class") == kind)):
                yield json.loads("".join(text))

    def groups(self) -> list[list[object]]:
        return [group for block in self.data(kind="groups") for group in block]

    def pictures(self) -> list[list[str]]:
        return [group for block in self.data(kind="thumbnails") for group in block]


def write(tmp_path: Path, result: Result, **more: object) -> Page:
    path = tmp_path / "report.html"
    write_html(str(path), result, thumbnail=thumbnail, title="Kin", about={"Folders": "/p"}, **more)
    return Page(path)


def test_every_member_stands_in_the_page_with_its_facts_and_its_picture(tmp_path: Path) -> None:
    page = write(tmp_path, result_of(group_of("/p/a.jpg", "/p/b.jpg", "/p/none.jpg")))
    assert page.groups() == [
        [
            "largest picture",
            [
                ["/p/a.jpg", "file:///p/a.jpg", 640, 480, 1000, None, 2, 0, ""],
                ["/p/b.jpg", "file:///p/b.jpg", 640, 480, 1000, 0.9688, 1, 1, ""],
                ["/p/none.jpg", "file:///p/none.jpg", 640, 480, 1000, 0.9688, 1, -1, ""],
            ],
        ]
    ]
    assert [base64.b64decode(picture) for picture in page.pictures()[0]] == [b"\xff\xd8/p/a.jpg", b"\xff\xd8/p/b.jpg"]
    assert next(page.data(key="index")) == [[3], [0.9688], [2000]]


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    failures = tuple(Failure(name, "decode", f"bad {name}") for name in HOSTILE)
    whole = result_of(*(group_of("/p/keep.jpg", name, reason=name) for name in HOSTILE), failures=failures)
    path = tmp_path / "report.html"
    write_html(str(path), whole, thumbnail=thumbnail, title=HOSTILE[1], about={HOSTILE[0]: HOSTILE[1]})
    page = Page(path)
    harmless = write(tmp_path, result_of(*(group_of("/p/keep.jpg", "/p/b.jpg") for _ in HOSTILE), failures=failures))
    assert [tag for tag, _, _ in page.elements] == [tag for tag, _, _ in harmless.elements]
    assert not any(name.startswith("on") for _, attributes, _ in page.elements for name in attributes)
    assert [group[1][1][0] for group in page.groups()] == [*HOSTILE[:4], "/p/caf\ufffd.jpg"]
    assert next(page.data(key="failures"))[0] == [HOSTILE[0], f"decode: bad {HOSTILE[0]}"]
    for group, name in zip(page.groups(), HOSTILE, strict=True):
        assert unquote_to_bytes(group[1][1][1].removeprefix("file://")) == os.fsencode(name)


def test_the_policy_lets_only_the_pages_own_script_and_style_run(tmp_path: Path) -> None:
    page = write(tmp_path, result_of(group_of("/p/a.jpg", "/p/b.jpg")))
    policy = next(a["content"] for tag, a, _ in page.elements if tag == "meta" and "http-equiv" in a)
    code = [t[0] for tag, a, t in page.elements if tag == "style" or (tag == "script" and "type" not in a)]
    digests = [f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in code]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {digests[0]}; script-src {digests[1]}; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = write(tmp_path, result_of(group_of("/p/a.jpg", "/p/b.jpg")))
    assert not {tag for tag, _, _ in page.elements} & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"https?://|@import|url\(", page.source)


def test_equal_files_share_one_picture_and_a_huge_group_stays_small(tmp_path: Path) -> None:
    same = Member("/p/copy.jpg", member("/p/a.jpg").sha256, "", 640, 480, 1000)
    twins = Group("/p/a.jpg", "", (member("/p/a.jpg"), same), (Pair("/p/a.jpg", "/p/copy.jpg", 1.0),))
    many = group_of(*(f"/p/{i}.jpg" for i in range(200)))
    page = write(tmp_path, result_of(twins, many))
    assert [len(pictures) for pictures in page.pictures()] == [1, THUMBNAILS_PER_GROUP]
    assert [row[6:8] for row in page.groups()[0][1]] == [[2, 0], [2, 0]]
    assert [row[7] for row in page.groups()[1][1]] == [*range(THUMBNAILS_PER_GROUP), *[-1] * 140]


def test_only_files_that_may_go_count_as_space_to_win(tmp_path: Path) -> None:
    chain = Group(
        "/p/a.jpg",
        "",
        (member("/p/a.jpg"), member("/p/b.jpg", 0.95, size=30), member("/p/c.jpg", size=500)),
        (Pair("/p/a.jpg", "/p/b.jpg", 0.95), Pair("/p/b.jpg", "/p/c.jpg", 0.92)),
    )
    page = write(tmp_path, result_of(chain))
    assert next(page.data(key="index")) == [[3], [0.92], [30]]
    assert [row[5:7] for row in page.groups()[0][1]] == [[None, 2], [0.95, 1], [None, 0]]
    page = write(tmp_path, result_of(chain), removable=set())
    assert next(page.data(key="index")) == [[3], [0.92], [0]]


def test_failures_and_plain_pictures_and_the_method_are_told(tmp_path: Path) -> None:
    failure = Failure("/p/t.jpg", "decode", "a text file")
    page = write(tmp_path, result_of(failures=(failure,), low_quality=("/p/1.png", "/p/2.png")))
    words = " ".join("".join(text) for tag, _, text in page.elements if tag not in ("script", "style"))
    assert "1 file could not be read" in words
    assert "2 files too plain to compare" in words
    assert "phash, similarity 0.9 and over, transitive groups" in words
    assert "No two images are alike at this threshold." in words
    assert next(page.data(key="failures")) == [["/p/t.jpg", "decode: a text file"]]
    assert next(page.data(key="low")) == [["/p/1.png", ""], ["/p/2.png", ""]]


TRACED = """
import sys, tracemalloc
from test_report_html import group_of, result_of, write_html

groups = tuple(group_of(f"/p/{i}.jpg", f"/p/{i} copy.jpg") for i in range(10_000))
picture = b"\\xff\\xd8" + bytes(1000)
tracemalloc.start()
write_html(sys.argv[1], result_of(*groups), thumbnail=lambda _: picture, title="Kin", about={})
print(tracemalloc.get_traced_memory()[1])
"""


def test_ten_thousand_groups_are_written_in_blocks_and_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    # In a process of its own: what threads of other tests leave behind counts in this one.
    done = subprocess.run(
        [sys.executable, "-c", TRACED, path], cwd=Path(__file__).parent, capture_output=True, check=True
    )
    peak = int(done.stdout)
    assert path.stat().st_size > 25_000_000
    assert peak < 8_000_000
    page = Page(path)
    assert max(len(block) for kind in ("groups", "thumbnails") for block in page.data(kind=kind)) == BLOCK_GROUPS
    assert [group[1][0][0] for group in page.groups()] == [f"/p/{i}.jpg" for i in range(10_000)]
    for kind in ("groups", "thumbnails"):
        firsts = [int(a["data-first"]) for tag, a, _ in page.elements if tag == "script" and a.get("class") == kind]
        assert firsts == [0, *accumulate(len(block) for block in page.data(kind=kind))][:-1]


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_html(str(tmp_path / "no" / "report.html"), result_of(), thumbnail=thumbnail, title="", about={})


def test_addresses_and_sizes_read_as_a_person_expects() -> None:
    assert file_url("/p/a b#?%.jpg") == "file:///p/a%20b%23%3F%25.jpg"
    assert file_url("https://example.org/a b.jpg?x=1") == "https://example.org/a%20b.jpg?x=1"
    assert file_url("a.jpg") == f"file://{os.path.abspath('a.jpg')}".replace(" ", "%20")
    sizes = [0, 999, 1000, 9949, 9950, 999_499, 999_500, 23_400_000, 5_000_000_000_000_000]
    shown = ["0 bytes", "999 bytes", "1.0 KB", "9.9 KB", "10 KB", "999 KB", "1.0 MB", "23 MB", "5000 TB"]
    assert [byte_size(size) for size in sizes] == shown


def test_a_browser_shows_the_groups_in_view_and_no_others(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("needs a Chromium browser, which is not here")
    many = (group_of(f"/p/{i}.jpg", f"/p/{i} copy.jpg") for i in range(3000))
    write(tmp_path, result_of(*(group_of("/p/keep.jpg", name) for name in HOSTILE), *many))
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    command = [browser, "--headless", *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--disable-component-update", "--window-size=1280,900", "--virtual-time-budget=2000", "--dump-dom"]
    address = file_url(str(tmp_path / "report.html"))
    done = subprocess.run([*command, address], capture_output=True, check=True, timeout=60)
    tree = done.stdout.decode()
    assert 3 <= tree.count("<article") <= 20
    assert "1 of 3,005</output>" in tree
    assert '<p class="name">&lt;img src=x onerror=alert(1)&gt;.jpg</p>' in tree
    assert "<img src=x" not in tree


def test_a_member_tells_how_it_is_related_to_the_kept_file(tmp_path: Path) -> None:
    group = group_of("/p/a.jpg", "/p/b.jpg")
    pair = replace(group.pairs[0], relation=Relation("mirrored, cropped"))
    page = write(tmp_path, result_of(replace(group, pairs=(pair,))))
    assert [row[8] for row in page.groups()[0][1]] == ["", "mirrored, cropped"]
