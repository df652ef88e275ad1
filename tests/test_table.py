import json
import os
import random
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imkin.errors import MissingExtraError, MissingPathError, OutputError, UsageError
from imkin.sources import delimited
from imkin.sources.rewrite import Added, rewrite
from imkin.sources.table import is_table, open_table, url_column, urls

A, B, C = "http://a.example/1.jpg", "https://b.example/2.png", "HTTP://c.example/3,w_100.webp"


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def rows(path: str) -> list[list[str]]:
    return [list(row) for row in open_table(path).rows()]


def found(path: str, name: str | None = None) -> list[tuple[int, str]]:
    table = open_table(path)
    return list(urls(table, url_column(table, name))())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_from_the_rows(tmp_path, delimiter):
    path = write(tmp_path / "a.csv", f"id{delimiter}url\n1{delimiter}{A}\n2{delimiter}{B}\n")
    table = open_table(path)
    assert table.header == ("id", "url")
    assert found(path) == [(1, A), (2, B)]


def test_a_table_of_one_column_keeps_the_commas_of_its_urls(tmp_path):
    assert found(write(tmp_path / "a.csv", f"url\n{A}\n{C}\n")) == [(1, A), (2, C)]
    assert found(write(tmp_path / "a.tsv", f"{C}\n{A}\n")) == [(1, C), (2, A)]


def test_a_first_row_with_a_url_is_no_header(tmp_path):
    table = open_table(write(tmp_path / "a.csv", f"1,{A}\n2,{B}\n"))
    assert table.header == ()
    assert [list(row) for row in table.rows()] == [["1", A], ["2", B]]
    told = open_table(table.path, header=True)
    assert (told.header, len(list(told.rows()))) == (("1", A), 1)


def test_quotes_line_breaks_and_ragged_rows_are_read_as_they_stand(tmp_path):
    path = write(tmp_path / "a.csv", f'id,url,note\r\n1,{A},"a ""b""\r\nc"\r\n2\r\n\r\n3,{B},x,y\r\n')
    assert rows(path) == [["1", A, 'a "b"\r\nc'], ["2"], [], ["3", B, "x", "y"]]
    assert found(path) == [(1, A), (2, ""), (3, ""), (4, B)]


def test_a_plain_list_is_a_row_a_line_with_blank_lines_and_comments_numbered(tmp_path):
    path = write(tmp_path / "a.txt", f"# mine\n{A}\n\n  {C}  \nnot a url\n")
    assert found(path) == [(1, ""), (2, A), (3, ""), (4, C), (5, "not a url")]


def test_a_text_file_with_columns_is_a_table(tmp_path):
    assert found(write(tmp_path / "a.txt", f"name\turl\nx\t{A}\n")) == [(1, A)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding):
    bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path = write(tmp_path / "a.csv", bom + f"größe;url\n1;{A}\n".encode(encoding))
    assert open_table(path).header == ("größe", "url")
    assert found(path) == [(1, A)]


def test_bytes_that_are_not_utf_8_are_read_all_the_same(tmp_path):
    path = write(tmp_path / "a.csv", f"größe,url\nä,{A}\n".encode("latin-1"))
    assert found(path) == [(1, A)]


def test_json_lines_have_the_columns_that_their_objects_name(tmp_path):
    lines = [json.dumps({"id": 1, "url": A}), json.dumps({"url": B, "tags": ["x"]}), "broken", "[]", "null"]
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    table = open_table(path)
    assert table.header == ("id", "url", "tags")
    assert [list(row) for row in table.rows()] == [["1", A, ""], ["", B, '["x"]'], [], [], []]
    assert found(path) == [(1, A), (2, B), (3, ""), (4, ""), (5, "")]


def test_parquet_is_read_by_columns(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "a.parquet")
    urls_ = [f"{A}?{at}" for at in range(3000)] + [None]
    pq.write_table(pa.table({"n": range(3001), "blob": [b"x"] * 3001, "url": urls_}), path)
    assert open_table(path).header == ("n", "blob", "url")
    assert rows(path)[2999:] == [["2999", "", f"{A}?2999"], ["3000", "", ""]]
    assert found(path)[-2:] == [(3000, f"{A}?2999"), (3001, "")]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imkin\[tables\]'"):
        open_table(write(tmp_path / "a.parquet", "PAR1"))


MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(path: Path, rows_xml: str, *, shared: str = "", doctype: str = "") -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        sheets = (
            '<sheets><sheet name="Links" sheetId="1" r:id="rId7"/><sheet name="x" sheetId="2" r:id="rId1"/></sheets>'
        )
        book.writestr("xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{sheets}</workbook>')
        relations = (
            '<Relationship Id="rId1" Target="worksheets/x.xml"/><Relationship Id="rId7" Target="worksheets/s.xml"/>'
        )
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="p">{relations}</Relationships>')
        body = f"<cols><col/></cols><sheetData>{rows_xml}</sheetData>"
        book.writestr("xl/worksheets/s.xml", f'{doctype}<worksheet xmlns="{MAIN}">{body}</worksheet>')
        if shared:
            book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{shared}</sst>')
    return str(path)


def test_a_workbook_gives_shared_inline_rich_and_numeric_cells_with_gaps(tmp_path):
    shared = "<si><t>id</t></si><si><t>url</t></si><si><r><t>http://a.ex</t></r><r><t>ample/1.jpg</t></r><rPh><t>no</t></rPh></si>"
    rows_xml = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>'
        '<row r="2"><c r="A2"><v>1.5</v></c><c r="C2" t="s"><v>2</v></c></row>'
        f'<row r="4"><c t="b"><v>1</v></c><c r="C4" t="inlineStr"><is><t>{B}</t></is></c>'
        '<c r="AA4" t="str"><v>x</v></c></row>'
    )
    path = workbook(tmp_path / "a.xlsx", rows_xml, shared=shared)
    assert open_table(path).header == ("id", "", "url")
    assert rows(path) == [["1.5", "", A], [], ["1", "", B, *[""] * 23, "x"]]
    assert found(path, "url") == [(1, A), (2, ""), (3, B)]


@pytest.mark.parametrize(
    "rows_xml",
    ['<row r="0"/>', '<row r="99999999"/>', '<row><c r="ZZZZ1"/></row>', '<row><c t="s"><v>7</v></c></row>', "<row>",
     '<row><c t="s"><v>x</v></c></row>', '<row r="2"/><row r="1"/>', '<row><c r="é1"/></row>'],
)  # fmt: skip
def test_a_damaged_workbook_is_one_error(tmp_path, rows_xml):
    with pytest.raises(UsageError, match="is no XLSX workbook, or a damaged one"):
        rows(workbook(tmp_path / "a.xlsx", rows_xml))


def test_a_workbook_with_a_document_type_is_refused(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(UsageError, match="document type"):
        rows(workbook(tmp_path / "a.xlsx", "<row><c><v>&b;</v></c></row>", doctype=bomb))


def test_a_file_that_is_not_what_its_name_says_is_one_error(tmp_path):
    for name in ("a.xlsx", "a.parquet"):
        with pytest.raises(UsageError, match=name):
            open_table(write(tmp_path / name, "no"))
    with pytest.raises(UsageError, match="is no text"):
        open_table(write(tmp_path / "a.txt", b"\0\1\2" * 99))
    with pytest.raises(UsageError, match="begins like utf-16"):
        rows(write(tmp_path / "a.csv", b"\xff\xfe\x00\xd8\x00\x00\x41"))
    with pytest.raises(UsageError, match=r"known endings: \.csv"):
        open_table(write(tmp_path / "a.pdf", "no"))
    with pytest.raises(MissingPathError):
        open_table(str(tmp_path / "none.csv"))


def test_a_quote_that_is_never_closed_is_an_error_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_RECORD_CHARS", 1000)
    path = write(tmp_path / "a.csv", f'id,url\n1,"{A}\n' + f"2,{B}\n" * 100)
    with pytest.raises(UsageError, match="is a quote not closed"):
        rows(path)
    with pytest.raises(UsageError, match="a line over 1000 characters"):
        rows(write(tmp_path / "b.csv", "x" * 5000))


def test_the_url_column_is_guessed_only_when_there_is_one(tmp_path):
    both = write(tmp_path / "a.csv", f"thumb,id,full\n{A},1,{B}\n")
    with pytest.raises(UsageError, match=r"several columns of .* hold URLs: 1 \(thumb\), 3 \(full\); choose one"):
        found(both)
    assert found(both, "full") == [(1, B)]
    assert found(both, "FULL") == [(1, B)]
    assert found(both, "1") == [(1, A)]
    with pytest.raises(UsageError, match="has no column 4; its columns: thumb, id, full"):
        found(both, "4")
    with pytest.raises(UsageError, match=r"the column id of .* holds no URL"):
        found(both, "id")
    with pytest.raises(UsageError, match=r"no column of .* holds URLs .*; its columns: a, b"):
        found(write(tmp_path / "b.csv", "a,b\n1,2\n"))
    with pytest.raises(UsageError, match=r"no column of .* holds URLs"):
        found(write(tmp_path / "c.csv", ""))


def test_urls_with_spaces_are_urls(tmp_path):
    text = f"note,url\nx,http://a.example/my picture.jpg\ny,{B}\n"
    assert found(write(tmp_path / "a.csv", text)) == [(1, "http://a.example/my picture.jpg"), (2, B)]


def test_a_column_with_a_few_urls_among_words_is_not_taken_for_the_url_column(tmp_path):
    text = "note,url\n" + "".join(f"{'see ' if at else ''}{A if not at else 'x'},{B}\n" for at in range(5))
    assert found(write(tmp_path / "a.csv", text))[0] == (1, B)


def test_tables_are_known_by_their_endings():
    assert [name for name in ("a.CSV", "b.tsv", "c.xlsx", "d.parquet", "e.jsonl", "f.txt") if not is_table(name)] == []
    assert not is_table("a.jpg")


# Writing back.


def sort_back(path: str, order: list[int], **rest: object) -> bytes:
    rewrite(open_table(path), order, **rest)  # type: ignore[arg-type]
    return Path(path).read_bytes()


def test_rows_move_as_they_stand_and_the_old_table_is_kept(tmp_path):
    old = f'id;"url"; note\r\n1;"{A}";\'x\'\r\n2;{B}\r\n\r\n"4";{C};"a\r\nb";ragged\r\n'.encode()
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbf" + old)
    os.chmod(path, 0o640)
    new = sort_back(path, [4, 1, 3, 2])
    expected = f'id;"url"; note\r\n"4";{C};"a\r\nb";ragged\r\n1;"{A}";\'x\'\r\n\r\n2;{B}\r\n'.encode()
    assert new == b"\xef\xbb\xbf" + expected
    assert (tmp_path / "a.csv.bak").read_bytes() == b"\xef\xbb\xbf" + old
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "a.csv.bak"]


def test_an_older_backup_is_never_overwritten(tmp_path):
    path = write(tmp_path / "a.csv", f"url\n{A}\n{B}\n")
    first = rewrite(open_table(path), [2, 1])
    second = rewrite(open_table(path), [2, 1])
    assert (first, second) == (f"{path}.bak", f"{path}.bak2")
    assert Path(first).read_text() == f"url\n{A}\n{B}\n"
    assert Path(second).read_text() == f"url\n{B}\n{A}\n"


def test_a_last_line_without_an_ending_stays_the_only_one_without(tmp_path):
    path = write(tmp_path / "a.csv", f"url\r\n{A}\r\n{B}")
    assert sort_back(path, [2, 1]) == f"url\r\n{B}\r\n{A}".encode()


def test_bytes_that_are_not_utf_8_are_written_back_as_they_were(tmp_path):
    path = write(tmp_path / "a.csv", b"id,url\n\xff\xe4,http://x.example/1\nb,http://x.example/2\n")
    assert sort_back(path, [2, 1]) == b"id,url\nb,http://x.example/2\n\xff\xe4,http://x.example/1\n"


def test_utf_16_is_written_back_as_utf_16(tmp_path):
    path = write(tmp_path / "a.csv", f"id\turl\nä\t{A}\nb\t{B}\n".encode("utf-16"))
    assert sort_back(path, [2, 1]) == f"id\turl\nb\t{B}\nä\t{A}\n".encode("utf-16")


def test_json_lines_and_lists_are_written_back_too(tmp_path):
    lines = [json.dumps({"url": url, "n": [1, {"x": None}]}) + "\n" for url in (A, B)]
    assert sort_back(write(tmp_path / "a.jsonl", "".join(lines)), [2, 1]).decode() == lines[1] + lines[0]
    assert sort_back(write(tmp_path / "a.txt", f"{A}\n# c\n{B}\n"), [3, 1, 2]) == f"{B}\n{A}\n# c\n".encode()


def test_added_columns_stand_behind_the_widest_row(tmp_path):
    path = write(tmp_path / "a.csv", f"id,url\r\n1,{A}\r\n2\r\n\r\n4,{B},x\r\n")
    added = Added(("group", "similarity"), {1: ("1", "1.0"), 4: ("1", '0,9"')})
    expected = f'id,url,,group,similarity\r\n4,{B},x,1,"0,9"""\r\n1,{A},,1,1.0\r\n2,,,,\r\n\r\n'
    assert sort_back(path, [4, 1, 2, 3], added=added).decode() == expected


def test_columns_added_to_json_lines_are_keys(tmp_path):
    path = write(tmp_path / "a.jsonl", f'{{"url": "{A}"}}\n{{}}\nbroken\n')
    added = Added(("group",), {1: ("1",), 2: ("2",)})
    expected = f'{{"group": "2"}}\n{{"url": "{A}", "group": "1"}}\nbroken\n'
    assert sort_back(path, [2, 1, 3], added=added).decode() == expected


def test_rows_may_be_dropped_only_when_named(tmp_path):
    path = write(tmp_path / "a.csv", f"url\n{A}\n{B}\n")
    for order, dropped in (([1], []), ([1, 1], []), ([1, 2, 3], []), ([1, 2], [2])):
        with pytest.raises(UsageError, match="does not name each of its 2 rows once"):
            rewrite(open_table(path), order, dropped=dropped)
    assert sorted(os.listdir(tmp_path)) == ["a.csv"]
    assert sort_back(path, [2], dropped=[1]) == f"url\n{B}\n".encode()


def test_a_table_that_changed_since_it_was_read_is_left_alone(tmp_path):
    path = write(tmp_path / "a.csv", f"url\n{A}\n{B}\n")
    table = open_table(path)
    write(tmp_path / "a.csv", f"url\n{B}\n{A}!\n")
    with pytest.raises(UsageError, match="has changed since it was read"):
        rewrite(table, [2, 1])
    assert sorted(os.listdir(tmp_path)) == ["a.csv"]


def test_a_table_that_cannot_be_written_back_says_so(tmp_path):
    path = workbook(tmp_path / "a.xlsx", f'<row><c t="inlineStr"><is><t>{A}</t></is></c></row>')
    with pytest.raises(UsageError, match="save it as CSV"):
        rewrite(open_table(path), [1])
    listed = write(tmp_path / "a.txt", A)
    with pytest.raises(UsageError, match="has no columns to add to"):
        rewrite(open_table(listed), [1], added=Added(("group",)))
    named = write(tmp_path / "a.csv", f"url,group\n{A},1\n")
    with pytest.raises(UsageError, match="has a column group already"):
        rewrite(open_table(named), [1], added=Added(("group",)))


def test_a_write_that_fails_leaves_the_table_and_nothing_beside_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv", f"url\n{A}\n{B}\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        rewrite(open_table(path), [2, 1])
    assert Path(path).read_text() == f"url\n{A}\n{B}\n"
    assert os.listdir(tmp_path) == ["a.csv"]


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(",;\t|"), st.integers()
)
def test_any_order_and_back_again_gives_the_same_bytes(tmp_path_factory, table, delimiter, seed):
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(table)
    folder = tmp_path_factory.mktemp("any")
    old = f'"id"{delimiter}"url"\r\n'.encode() + out.getvalue().encode()
    path = write(folder / "a.csv", old)
    order = list(range(1, len(table) + 1))
    random.Random(seed).shuffle(order)
    moved = sort_back(path, order)
    assert sorted(moved) == sorted(old)
    back = [order.index(row) + 1 for row in range(1, len(table) + 1)]
    assert sort_back(path, back) == old
