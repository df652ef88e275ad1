import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from imkin.errors import ImkinError, MissingPathError, UsageError
from imkin.sources.google import ATTEMPTS, Google
from imkin.sources.sheet import (
    SheetTable,
    letters,
    number,
    open_sheet,
    parse_area,
    prune,
    urls,
    write_column,
    write_order,
)
from imkin.sources.table import url_column
from servers import Fault, Formula, SheetServer, sheets

A, B, C = "http://a.example/1.jpg", "http://b.example/2.jpg", "http://c.example/3.jpg"
ID = "1AbC_dEf-GhIjKlMnOpQrStUvWxYz0123456789abcdE"
ROWS = [["name", "url", "n"], ["a", A, 1], ["b", B], [], ["c", C, True, "out"]]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def server(key, monkeypatch):
    # google-auth asks another of Google's hosts for the account's regions, in the background: not from a test.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with sheets(key) as (one, base):
        one.base = base
        one.sheets[ID] = ("My pictures", {"Sheet1": [list(row) for row in ROWS], "It's two": [["x", A]], "Empty": []})
        yield one


def credentials(folder: Path, key: rsa.RSAPrivateKey, base: str, **changed: object) -> str:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    info = {
        "type": "service_account",
        "client_email": "robot@project.iam.example",
        "private_key": pem,
        "private_key_id": "1",
        "token_uri": f"{base}/token",
    }
    path = folder / "credentials.json"
    path.write_text(json.dumps(info | changed))
    return str(path)


@pytest.fixture
def google(server, key, tmp_path):
    client, slept = client_of(credentials(tmp_path, key, server.base), server)
    client.slept = slept
    yield client
    client.close()


def client_of(auth: str, server: SheetServer) -> tuple[Google, list[float]]:
    slept: list[float] = []
    return Google(auth, base_url=server.base, drive_url=server.base, sleep=slept.append), slept


def cells(server: SheetServer, worksheet: str = "Sheet1") -> list[list[object]]:
    return server.sheets[ID][1][worksheet]


def read(google: Google, where: str = "B2:C") -> SheetTable:
    return open_sheet(google, ID, worksheet="Sheet1", cells=where)


def test_a_range_is_read_with_real_sign_in_and_its_rows_keep_their_numbers(google, server):
    table = read(google)
    assert [list(row) for row in table.rows()] == [[A, "1"], [B, ""], ["", ""], [C, "true"]]
    assert urls(table, url_column(table)) == [(2, A), (3, B), (4, ""), (5, C)]
    assert table.path == "My pictures 'Sheet1'!B2:C5"
    assert server.said[0] == "POST /token"


def test_a_spreadsheet_is_found_by_its_url_its_id_and_its_name(google, server):
    for name in (f"https://docs.google.com/spreadsheets/d/{ID}/edit#gid=100", ID, "My pictures"):
        assert open_sheet(google, name, cells="B2:C").spreadsheet == ID
    in_url = f"https://docs.google.com/spreadsheets/d/{ID}/edit#gid=101"
    assert open_sheet(google, in_url, cells="A1:B").worksheet == "It's two"
    assert open_sheet(google, ID, cells="'It''s two'!A1:B").worksheet == "It's two"
    server.sheets["second"] = ("O'Hara \\ sons", {"S": [[A]]})
    assert open_sheet(google, "O'Hara \\ sons").spreadsheet == "second"


def test_a_name_that_is_missing_or_not_unique_is_an_error(google, server):
    with pytest.raises(UsageError, match="no spreadsheet None such is shared with robot@project"):
        open_sheet(google, "None such")
    server.sheets["other"] = ("My pictures", {"S": []})
    with pytest.raises(UsageError, match=f"several spreadsheets are named My pictures: .*{ID}, other"):
        open_sheet(google, "My pictures")


def test_the_first_row_of_a_worksheet_without_a_url_is_its_header(google):
    table = read(google, "")
    assert table.header == ("name", "url", "n", "")
    assert urls(table, url_column(table, "url")) == [(2, A), (3, B), (4, ""), (5, C)]
    assert open_sheet(google, ID, worksheet="It's two").header == ()


def test_rows_are_written_back_in_one_raw_update_after_their_old_values_are_saved(google, server, tmp_path):
    table = read(google, "A2:C")
    server.said.clear()
    saved = write_order(table, [3, 0, 2, 1], backup=str(tmp_path / "run"))
    assert cells(server) == [ROWS[0], ["c", C, True], ["a", A, 1], ["", "", ""], ["b", B, "", "out"]]
    assert [said for said in server.said if said.startswith("POST")] == [
        f"POST /v4/spreadsheets/{ID}/values:batchUpdate"
    ]
    kept = json.loads(Path(saved).read_text())
    assert (kept["spreadsheet"], kept["worksheet"], kept["range"]) == (ID, "Sheet1", "'Sheet1'!A2:C5")
    assert kept["values"] == [["a", A, 1], ["b", B, ""], ["", "", ""], ["c", C, True]]


def test_the_header_stays_on_top(google, server, tmp_path):
    write_order(read(google, "A:C"), [3, 0, 1, 2], backup=str(tmp_path))
    assert [row[0] for row in cells(server)] == ["name", "c", "a", "b", ""]


def test_dropped_rows_leave_empty_ones_at_the_end(google, server, tmp_path):
    write_order(read(google, "A2:C"), [3, 1], dropped=2, backup=str(tmp_path))
    assert [row[:3] for row in cells(server)[1:]] == [["c", C, True], ["b", B, ""], ["", "", ""], ["", "", ""]]
    with pytest.raises(UsageError, match="does not name each of its 2 rows once"):
        write_order(read(google, "A2:C"), [0], backup=str(tmp_path))


@pytest.mark.parametrize("change", ["cell", "row", "fewer"])
def test_a_range_that_changed_since_it_was_read_is_left_alone(google, server, tmp_path, change):
    table = read(google)
    if change == "cell":
        cells(server)[1][1] = "http://other.example/"
    elif change == "row":
        cells(server).append(["d", B])
    else:
        cells(server).pop()
    before = [list(row) for row in cells(server)]
    for write in (
        lambda: write_order(table, [3, 2, 1, 0], backup=str(tmp_path / "run")),
        lambda: prune(table, [2], backup=str(tmp_path / "run")),
        lambda: write_column(table, "E", {2: "ok"}, backup=str(tmp_path / "run")),
    ):
        with pytest.raises(UsageError, match="has changed since it was read"):
            write()
    assert cells(server) == before
    assert not (tmp_path / "run").exists()


def test_a_range_with_formulas_is_not_written_and_text_like_one_is_no_formula(google, server, tmp_path):
    cells(server)[1][2] = Formula("=LEN(B2)", 22)
    with pytest.raises(UsageError, match=r"holds formulas \(C2: =LEN\(B2\)\)"):
        write_order(read(google), [3, 2, 1, 0], backup=str(tmp_path))
    cells(server)[1][2] = "=no formula"
    write_order(read(google), [3, 2, 1, 0], backup=str(tmp_path))
    assert cells(server)[4][2] == "=no formula"


def test_statuses_are_written_beside_the_range_only(google, server, tmp_path):
    table = read(google)
    saved = write_column(table, "E", {2: "ok", 5: "failed: HTTP 404"}, backup=str(tmp_path / "run"))
    assert [row[4:] for row in cells(server)] == [[], ["ok"], [""], [""], ["failed: HTTP 404"]]
    assert json.loads(Path(saved).read_text())["range"] == "'Sheet1'!E2:E5"
    with pytest.raises(UsageError, match="the column c is inside of the range"):
        write_column(table, "c", {}, backup=str(tmp_path))


def test_dead_rows_are_deleted_whole_from_the_bottom_up_in_one_update(google, server, tmp_path):
    saved = prune(read(google), [2, 5, 4], backup=str(tmp_path / "run"))
    assert cells(server) == [ROWS[0], ["b", B]]
    requests = server.bodies[-1]["requests"]
    spans = [request["deleteDimension"]["range"] for request in requests]
    assert [(span["startIndex"], span["endIndex"]) for span in spans] == [(3, 5), (1, 2)]
    assert json.loads(Path(saved).read_text())["values"] == ROWS


def test_quotas_are_waited_out(google, server, tmp_path):
    table = read(google)
    server.faults += [Fault("values:batchUpdate", 429, times=3), Fault("GET", 503, times=1)]
    server.faults.append(Fault("GET", 429, retry_after="17"))
    write_order(table, [1, 0, 2, 3], backup=str(tmp_path))
    assert google.slept == [1, 17, 1, 2, 4]
    assert cells(server)[1][1] == B


def test_a_quota_that_stays_used_up_is_an_error_in_the_end(google, server):
    server.faults.append(Fault("GET", 429, times=99, message="Quota exceeded for quota metric 'Read requests'"))
    with pytest.raises(ImkinError, match=rf"Google answers 429: Quota exceeded .* \({ATTEMPTS} attempts\)"):
        read(google)
    assert google.slept == [1, 2, 4, 8, 16, 32, 64]
    google.slept.clear()
    server.faults = [Fault("GET", 429, times=99, retry_after="86400")]
    with pytest.raises(ImkinError, match="429"):
        read(google)
    assert google.slept == []


def test_drives_way_to_say_quota_is_waited_out_too(google, server):
    server.faults.append(Fault("/drive/", 403, message="userRateLimitExceeded"))
    assert open_sheet(google, "My pictures").spreadsheet == ID
    assert google.slept == [1]


def test_deleting_is_not_said_twice_when_the_answer_is_lost(google, server, tmp_path):
    table = read(google)
    server.faults.append(Fault(f"{ID}:batchUpdate", 503))
    with pytest.raises(UsageError, match="503"):
        prune(table, [2], backup=str(tmp_path))
    assert sum(said.endswith(f"{ID}:batchUpdate") for said in server.said) == 1
    server.faults.append(Fault(f"{ID}:batchUpdate", 429))
    prune(table, [2], backup=str(tmp_path))
    assert len(cells(server)) == 4


def test_no_permission_says_with_whom_to_share(google, server):
    server.forbidden.add(ID)
    with pytest.raises(UsageError, match=r"share the spreadsheet with robot@project\.iam\.example"):
        read(google)


def test_a_drive_api_that_is_not_enabled_says_what_else_works(google, server):
    server.faults.append(Fault("/drive/", 403, message="Google Drive API has not been used in project 1"))
    with pytest.raises(UsageError, match=r"give its URL or id \(Google Drive API has not been used"):
        open_sheet(google, "My pictures")


def test_what_is_not_there_is_one_clear_error(google):
    with pytest.raises(UsageError, match="has no worksheet Sheet9; its worksheets: Sheet1, It's two, Empty"):
        open_sheet(google, ID, worksheet="Sheet9")
    with pytest.raises(UsageError, match="there is no spreadsheet 1AbC, or it is not shared with robot@"):
        open_sheet(google, "https://docs.google.com/spreadsheets/d/1AbC/edit")
    with pytest.raises(UsageError, match="the range B2:C of the worksheet Empty has no rows"):
        open_sheet(google, ID, worksheet="Empty", cells="B2:C")
    with pytest.raises(UsageError, match=r"no column of My pictures .* holds URLs"):
        url_column(read(google, "A2:A"))


@pytest.mark.parametrize("text", ["2B:C", "B2:", "B2:A3", "B5:C2", "B0:C2", "ABCD1", "B2:C:D", "B-2", ":", ":C"])
def test_a_range_that_is_none_is_an_error(text):
    with pytest.raises(UsageError, match="is no range of cells"):
        parse_area(text)


def test_columns_have_letters():
    assert [letters(column) for column in (1, 26, 27, 702, 703)] == ["A", "Z", "AA", "ZZ", "AAA"]
    assert [number(letters(column)) for column in range(1, 800)] == list(range(1, 800))
    with pytest.raises(UsageError):
        number("4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no", "it is no JSON"),
        ("[]", "its type is missing, not service_account"),
        ('{"type": "authorized_user"}', "its type is authorized_user, not service_account"),
        ('{"type": "service_account"}', "is no usable key of a service account"),
        ('{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "c"}', "is no usable key"),
        ("x" * (2 << 20), "is no key of a service account"),
    ],
)
def test_credentials_that_are_no_service_account_are_one_clear_error(tmp_path, content, message):
    path = tmp_path / "key.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        Google(str(path))


def test_missing_credentials_are_one_clear_error(tmp_path):
    with pytest.raises(MissingPathError, match="cannot read the credentials"):
        Google(str(tmp_path / "none.json"))


def test_a_key_that_google_does_not_know_is_one_clear_error(server, tmp_path):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    client, slept = client_of(credentials(tmp_path, other, server.base), server)
    with pytest.raises(UsageError, match=r"Google does not accept the key of robot@.*Invalid JWT Signature"):
        read(client)
    assert slept == []
    client.close()


def test_a_server_that_is_not_there_is_an_error_after_all_attempts(server, key, tmp_path):
    auth = credentials(tmp_path, key, server.base)
    slept: list[float] = []
    client = Google(auth, base_url="http://127.0.0.1:1", sleep=slept.append)
    with pytest.raises(ImkinError, match=rf"Google cannot be reached.*\({ATTEMPTS} attempts\)"):
        read(client)
    assert len(slept) == ATTEMPTS - 1
    client.close()


def test_a_folder_that_cannot_hold_the_old_values_stops_the_write(google, server, tmp_path):
    (tmp_path / "file").write_text("")
    table = read(google)
    with pytest.raises(ImkinError, match="cannot write to"):
        write_order(table, [3, 2, 1, 0], backup=str(tmp_path / "file"))
    assert cells(server) == ROWS
    assert os.path.isfile(tmp_path / "file")
