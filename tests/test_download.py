import asyncio
import contextlib
import csv
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from imkin.errors import OutputError, StoppedError, UsageError
from imkin.sources.address import RefusedError, check_name, is_public
from imkin.sources.download import GIVEN_UP_AFTER, Clock, Fetched, FetchOptions, fetch
from imkin.sources.web import WebLimits, retry_after
from servers import picture, pictures
from servers_h2 import certificate, http2

LOOPBACK = WebLimits(allow_private=True, connect_s=2, read_s=1, total_s=1, max_bytes=1 << 20)
OPTIONS = FetchOptions(web=LOOPBACK)


def fake_clock() -> tuple[Clock, list[float]]:
    """A clock that sleeps at once, and how long each sleep would have been."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    return Clock(now_s=lambda: sum(slept), sleep=sleep), slept


def run(urls: Sequence[str], out: Path, *, options: FetchOptions = OPTIONS, **rest: object) -> Fetched:
    return fetch(lambda: list(enumerate(urls, start=1)), str(out), options=options, **rest)  # type: ignore[arg-type]


def results(out: Path) -> list[dict[str, str]]:
    with open(out / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(out: Path) -> list[str]:
    return sorted(name for name in os.listdir(out) if not name.startswith(".") and name != "results.csv")


def test_pictures_are_named_by_their_row_and_their_true_format(tmp_path):
    with pictures() as (server, base):
        run([f"{base}/img/1?my picture"], tmp_path / "spaces")
        assert server.asked == {"/img/1?my%20picture": 1}
        counts = run([f"{base}/img/1.PNG", f"{base}/img/2.JPEG", f"{base}/img/3.WEBP?x=.gif"], tmp_path)
    assert files(tmp_path) == ["000001.png", "000002.jpg", "000003.webp", "spaces"]
    assert (tmp_path / "000001.png").read_bytes() == picture(1, format_name="PNG")
    assert (counts.rows, counts.ok, counts.failed) == (3, 3, 0)


def test_results_hold_every_row_in_order_with_its_facts(tmp_path):
    with pictures() as (_, base):
        run([f"{base}/img/1", f"{base}/gone", "", f"{base}/hop/1/2", f"{base}/img/1?again"], tmp_path)
        body = picture(1)
        digest = hashlib.sha256(body).hexdigest()
        assert results(tmp_path)[0] == {
            "row": "1",
            "url": f"{base}/img/1",
            "status": "ok",
            "sha256": digest,
            "size": str(len(body)),
            "final_url": f"{base}/img/1",
            "file": "000001.jpg",
            "error": "",
        }
        rows = results(tmp_path)
        assert [row["status"] for row in rows] == ["ok", "failed", "empty", "ok", "copy"]
        assert rows[1]["error"] == "HTTP 404 Not Found"
        assert rows[3]["final_url"] == f"{base}/img/2"
        assert (rows[4]["file"], rows[4]["sha256"]) == ("000001.jpg", digest)
    assert files(tmp_path) == ["000001.jpg", "000004.jpg"]


def test_a_copy_that_arrives_first_gives_its_file_to_the_first_row(tmp_path):
    with pictures() as (server, base):
        # The first row waits for its second attempt, so that the third row's equal body is there before.
        run([f"{base}/broken/1/7", f"{base}/img/8", f"{base}/img/7"], tmp_path, clock=fake_clock()[0])
        assert server.asked["/broken/1/7"] == 2
    assert files(tmp_path) == ["000001.jpg", "000002.jpg"]
    assert [(row["status"], row["file"]) for row in results(tmp_path)] == [
        ("ok", "000001.jpg"),
        ("ok", "000002.jpg"),
        ("copy", "000001.jpg"),
    ]


def test_a_url_that_stands_in_many_rows_is_asked_once(tmp_path):
    with pictures() as (server, base):
        counts = run([f"{base}/img/1"] * 5, tmp_path)
        assert server.asked["/img/1"] == 1
    assert (counts.ok, counts.copies) == (1, 4)


def test_a_second_run_asks_only_for_what_failed(tmp_path):
    with pictures() as (server, base):
        urls = [f"{base}/img/1", f"{base}/broken/4/2", f"{base}/gone"]
        first = run(urls, tmp_path, clock=fake_clock()[0])
        assert (first.ok, first.failed, server.asked["/broken/4/2"]) == (1, 2, 4)
        second = run(urls, tmp_path, clock=fake_clock()[0])
        assert (second.ok, second.failed, second.reused) == (2, 1, 1)
        assert server.asked["/img/1"] == 1
    assert files(tmp_path) == ["000001.jpg", "000002.jpg"]


def test_a_file_that_was_removed_is_fetched_again(tmp_path):
    with pictures() as (_, base):
        run([f"{base}/img/1"], tmp_path)
        (tmp_path / "000001.jpg").unlink()
        run([f"{base}/img/1"], tmp_path)
    assert files(tmp_path) == ["000001.jpg"]


def test_rows_that_moved_since_never_overwrite_the_files_of_before(tmp_path):
    with pictures() as (server, base):
        one, two, new = f"{base}/img/1", f"{base}/img/2", f"{base}/img/3"
        run([one, two], tmp_path)
        run([new, two, one], tmp_path)
        assert server.asked["/img/1"] == 1
    digest = hashlib.sha256(picture(3)).hexdigest()[:8]
    assert [row["file"] for row in results(tmp_path)] == [f"000001-{digest}.jpg", "000002.jpg", "000001.jpg"]
    assert (tmp_path / "000001.jpg").read_bytes() == picture(1)


def test_a_ledger_cut_off_in_its_last_line_costs_that_line_only(tmp_path):
    with pictures() as (server, base):
        urls = [f"{base}/img/1", f"{base}/img/2"]
        run(urls, tmp_path, options=FetchOptions(jobs=1, web=LOOPBACK))
        ledger = tmp_path / ".imkin-fetch.jsonl"
        ledger.write_bytes(ledger.read_bytes()[:-20])
        counts = run(urls, tmp_path)
        assert (server.asked["/img/1"], server.asked["/img/2"]) == (1, 2)
    assert (counts.ok, files(tmp_path)) == (2, ["000001.jpg", "000002.jpg"])


def test_only_pictures_are_kept_and_each_failure_says_why(tmp_path):
    kinds = ["html", "text", "empty", "gzip", "cut", "huge", "endless", "loop", "gone", "reset"]
    with pictures() as (_, base):
        counts = run([f"{base}/{kind}" for kind in kinds], tmp_path, clock=fake_clock()[0])
        errors = {kind: row["error"] for kind, row in zip(kinds, results(tmp_path), strict=True)}
    assert counts.failed == len(kinds)
    assert errors["html"] == "not a picture: the server sent a page (HTML or XML)"
    assert errors["text"].startswith("not a picture: ")
    assert errors["empty"] == "not a picture: the body is empty"
    assert errors["gzip"] == "the server packed the body as gzip without being asked to"
    assert errors["cut"].startswith("the connection broke: ")
    assert errors["cut"].endswith("(4 attempts)")
    assert errors["huge"] == "10737418240 bytes are over the limit of 1048576"
    assert errors["endless"] == "the body is over the limit of 1048576 bytes"
    assert errors["loop"].startswith("more than 10 redirects, the last to http://127.0.0.1:")
    assert errors["gone"] == "HTTP 404 Not Found"
    assert errors["reset"].startswith("the connection broke: ")
    assert files(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == [".imkin-fetch.jsonl", "results.csv"]


def test_a_slow_loris_ends_by_the_limit_on_the_whole_answer(tmp_path):
    options = FetchOptions(web=WebLimits(allow_private=True, read_s=5, total_s=0.4))
    began = time.monotonic()
    with pictures() as (_, base):
        run([f"{base}/drip", f"{base}/headers"], tmp_path, options=options)
    assert time.monotonic() - began < 5
    assert [row["error"] for row in results(tmp_path)] == ["the answer took longer than 0.4 s"] * 2


def test_a_silent_server_ends_by_the_limit_on_silence(tmp_path):
    options = FetchOptions(attempts=2, web=WebLimits(allow_private=True, read_s=0.2, total_s=5))
    with pictures() as (server, base):
        run([f"{base}/silent"], tmp_path, options=options, clock=fake_clock()[0])
        assert server.asked["/silent"] == 2
    assert results(tmp_path)[0]["error"] == "the server was silent for 0.2 s (2 attempts)"


def test_retry_after_is_honoured_and_back_off_doubles_without_it(tmp_path):
    clock, slept = fake_clock()
    with pictures() as (_, base):
        run([f"{base}/busy/2/1?7"], tmp_path, clock=clock)
        assert slept == [7.0, 7.0]
        slept.clear()
        run([f"{base}/broken/3/2", f"{base}/gone"], tmp_path, clock=clock)
    assert slept == [1.0, 2.0, 4.0]
    assert results(tmp_path)[0]["status"] == "ok"


def test_a_host_that_asks_for_an_hour_fails_its_rows_without_a_wait(tmp_path):
    clock, slept = fake_clock()
    with pictures() as (server, base):
        run([f"{base}/busy/9/{seed}?3600" for seed in range(30)], tmp_path, clock=clock)
        assert sum(server.asked.values()) <= OPTIONS.per_host
    assert slept == []
    assert {row["error"] for row in results(tmp_path)} == {"HTTP 429 Too Many Requests: the host asks to wait 3600 s"}


def test_a_host_that_is_never_reached_is_given_up_and_others_go_on(tmp_path):
    with pictures() as (_, base):
        dead = "http://127.0.0.1:1"
        urls = [f"{dead}/{number}" for number in range(60)] + [f"{base}/img/1"]
        run(urls, tmp_path, clock=fake_clock()[0])
    rows = results(tmp_path)
    assert rows[-1]["status"] == "ok"
    assert rows[0]["error"].startswith("no connection: ")
    assert f"{GIVEN_UP_AFTER} times in a row, the host was given up" in rows[50]["error"]


def test_a_retry_after_header_is_a_number_or_a_date():
    assert retry_after("120", 0) == 120
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10) == 50
    assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 100) == 0
    assert retry_after("soon", 0) is None


def test_at_most_four_requests_a_host_and_no_more_than_jobs_in_all(tmp_path):
    with pictures() as (server, base):
        run([f"{base}/slow/{seed}" for seed in range(24)], tmp_path / "a")
        assert server.most_at_once == 4
    with pictures() as (server, base):
        run([f"{base}/slow/{seed}" for seed in range(12)], tmp_path / "b", options=FetchOptions(jobs=2, web=LOOPBACK))
        assert server.most_at_once == 2


def test_redirects_count_as_requests_to_the_host_they_lead_to(tmp_path):
    with pictures() as (target, target_base), contextlib.ExitStack() as stack:
        bases = [stack.enter_context(pictures())[1] for _ in range(3)]
        where = [quote(f"{target_base}/slow/{seed}", safe="") for seed in range(18)]
        run([f"{bases[at % 3]}/to/{url}" for at, url in enumerate(where)], tmp_path)
        assert target.most_at_once == 4
    assert [row["status"] for row in results(tmp_path)] == ["ok"] * 18


def test_no_request_reaches_a_private_address_by_default(tmp_path):
    with pictures() as (server, base):
        port = base.rpartition(":")[2]
        hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::1]", "10.0.0.1"]
        hosts += ["169.254.169.254", "017700000001", "[::ffff:7f00:1]"]
        run([f"http://{host}:{port}/img/1" for host in hosts], tmp_path, options=FetchOptions())
        assert server.asked == {}
    for host, row in zip(hosts, results(tmp_path), strict=True):
        assert row["status"] == "failed", host
        assert "not a public address (see --allow-private)" in row["error"], (host, row["error"])


def test_a_name_that_resolves_to_a_private_address_is_refused_and_its_answer_is_not_asked_for_twice(tmp_path):
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) > 1 else ["192.168.0.1", "10.0.0.1"]

    with pictures() as (server, base):
        port = base.rpartition(":")[2]
        run([f"http://images.example:{port}/img/1"], tmp_path, options=FetchOptions(), resolver=rebinding)
        assert server.asked == {}
    assert asked == ["images.example"]
    expected = "images.example (192.168.0.1) is not a public address (see --allow-private)"
    assert results(tmp_path)[0]["error"] == expected


def test_the_address_that_was_resolved_is_the_one_connected_to_under_the_name_asked_for(tmp_path):
    asked = []

    async def once(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with pictures() as (server, base):
        port = base.rpartition(":")[2]
        run([f"http://images.example:{port}/img/1"], tmp_path, resolver=once)
        assert server.hosts == {f"images.example:{port}"}
    assert asked == ["images.example"]
    assert results(tmp_path)[0]["status"] == "ok"


def test_http_2_carries_several_requests_over_one_checked_connection_with_tls(tmp_path, monkeypatch):
    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    cert, key = certificate(tmp_path, "pictures.example")
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    with http2(picture(1, format_name="PNG"), cert, key) as server:
        urls = [f"https://pictures.example:{server.port}/{at}" for at in range(12)]
        counts = run(urls, tmp_path / "out", resolver=here)
        assert (counts.ok, counts.copies) == (1, 11)
        assert server.requests == 12
        assert server.connections <= OPTIONS.per_host  # those begun before the first one said that it is HTTP/2
        assert server.names == {f"pictures.example:{server.port}"}
        monkeypatch.delenv("SSL_CERT_FILE")
        run(urls[:1], tmp_path / "unknown", resolver=here)
        assert server.requests == 12
    assert "certificate is not valid" in results(tmp_path / "unknown")[0]["error"]


@pytest.mark.parametrize("direct", ["", "192.168.77.1"])
def test_a_redirect_to_a_private_address_is_refused(tmp_path, monkeypatch, direct):
    # The first hop goes through a proxy, which may be anywhere; the second through it too, or straight.
    with pictures() as (server, base):
        monkeypatch.setenv("http_proxy", base)
        monkeypatch.setenv("no_proxy", direct)
        inside = quote("http://192.168.77.1/admin.jpg", safe="")
        url = f"http://pictures.example.test/to/{inside}"
        run([url], tmp_path, options=FetchOptions(), resolver=unknown_name)
        assert server.asked == {url: 1}
    assert results(tmp_path)[0]["error"] == "192.168.77.1 is not a public address (see --allow-private)"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a.jpg", "data:image/png;base64,AA", "a.jpg"])
def test_other_schemes_are_refused_also_as_redirects(tmp_path, url):
    with pictures() as (_, base):
        run([url, f"{base}/to/{quote(url, safe='')}" if ":" in url else url], tmp_path)
    for row in results(tmp_path):
        assert row["error"].startswith("only http and https are fetched, not "), row


@pytest.mark.parametrize("url", ["http://", "http://a..b/x", "http://[::1", "http://exa mple/", "http://a\x00b/"])
def test_a_url_that_cannot_be_is_one_failed_row(tmp_path, url):
    with pictures() as (_, base):
        run([url, f"{base}/img/1"], tmp_path, options=FetchOptions(attempts=1, web=LOOPBACK))
    assert [row["status"] for row in results(tmp_path)] == ["failed", "ok"]


PRIVATE = """127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1
240.0.0.1 192.0.0.8 198.18.0.1 192.0.2.1 192.88.99.1 ::1 :: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1
64:ff9b:1::a00:1 2002:7f00:1:: fe80::1%eth0 fc00::1 fd00::1 fec0::1 ff02::1 2001:db8::1 2001::1 100::1
::ffff:0:7f00:1"""
PUBLIC = (
    "8.8.8.8 1.1.1.1 93.184.216.34 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808:: 2a00:1450:4001::1"
)


def test_every_written_form_of_a_private_address_is_known():
    assert [address for address in PRIVATE.split() if is_public(address)] == []
    assert [address for address in PUBLIC.split() if not is_public(address)] == []


def test_a_proxy_of_the_environment_is_used_and_may_be_private(tmp_path, monkeypatch):
    with pictures() as (server, base):
        monkeypatch.setenv("http_proxy", base)
        run(["http://pictures.example.test/img/1"], tmp_path, options=FetchOptions(), resolver=unknown_name)
        assert server.asked == {"http://pictures.example.test/img/1": 1}
    assert results(tmp_path)[0]["status"] == "ok"


def test_a_proxy_is_not_asked_for_hosts_that_no_proxy_names(tmp_path, monkeypatch):
    with pictures() as (server, base):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        run([f"{base}/img/1"], tmp_path)
        assert server.asked == {"/img/1": 1}


def test_a_proxy_is_not_asked_for_private_hosts(tmp_path, monkeypatch):
    urls = ["http://127.0.0.1/img/1", "http://localhost/img/1", "http://printer/img/1", "http://nas.local/img/1"]
    with pictures() as (server, base):
        monkeypatch.setenv("http_proxy", base)
        run(urls, tmp_path, options=FetchOptions(), resolver=unknown_name)
        assert server.asked == {}
    assert all("see --allow-private" in row["error"] for row in results(tmp_path))


async def unknown_name(host: str, port: int) -> Sequence[str]:
    if host[0].isdigit():
        return [host]
    raise OSError("no such name")


def test_a_name_with_any_private_address_is_not_given_to_a_proxy():
    async def mixed(host: str, port: int) -> Sequence[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(RefusedError, match=r"10\.0\.0\.1"):
        asyncio.run(check_name("two.example", 80, resolver=mixed))


def test_a_stop_keeps_what_was_done_and_a_new_run_goes_on(tmp_path):
    seen = []
    with pictures() as (server, base):
        urls = [f"{base}/img/1", f"{base}/img/2", f"{base}/drip"]
        options = FetchOptions(web=WebLimits(allow_private=True))

        def stop() -> bool:
            return len(seen) >= 2

        with pytest.raises(StoppedError):
            run(urls, tmp_path, options=options, stop=stop, progress=lambda *now: seen.append(now))
        assert [row["status"] for row in results(tmp_path)] == ["ok", "ok", "pending"]
        assert run(urls, tmp_path).reused == 2
        assert server.asked["/img/1"] == 1
    assert seen == [("downloading", 1, 3), ("downloading", 2, 3)]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_fetch_works_inside_a_running_event_loop(tmp_path):
    async def notebook(url: str) -> Fetched:
        return run([url], tmp_path)

    with pictures() as (_, base):
        assert asyncio.run(notebook(f"{base}/img/1")).ok == 1


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run([], tmp_path / "file")


def test_no_jobs_is_a_usage_error():
    with pytest.raises(UsageError, match="jobs must be at least 1, not 0"):
        FetchOptions(jobs=0)


def test_many_rows_give_the_same_results_whatever_the_number_of_jobs(tmp_path):
    with pictures() as (_, base):
        urls = [f"{base}/img/{seed % 5}.{'PNG' if seed % 3 else 'JPEG'}?{seed}" for seed in range(28)]
        for jobs in (1, 32):
            out = tmp_path / str(jobs)
            run(urls, out, options=FetchOptions(jobs=jobs, web=LOOPBACK))
    assert files(tmp_path / "1") == files(tmp_path / "32")
    assert results(tmp_path / "1") == results(tmp_path / "32")
    assert len(files(tmp_path / "1")) == 10
