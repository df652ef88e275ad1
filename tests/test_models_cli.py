"""`imkin models`: list, show, pull, import, rm."""

import json
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from hub import COMMIT, hub, network
from imkin.cli.models import network as network_of
from imkin.cli.models import register
from imkin.errors import UsageError
from imkin.models.cards import CARDS


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `imkin models …` with an empty cache and a hub that has one network; returns the finished command."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    register(app)
    with hub() as (server, base):
        monkeypatch.setenv("HF_ENDPOINT", base)
        server.files[CARDS["resnet50"].source, "model.onnx"] = network(2048, size=224)

        def run_models(*arguments):
            return CliRunner().invoke(app, ["models", *map(str, arguments)])

        run_models.server = server
        run_models.folder = tmp_path / "cache" / "imkin" / "models"
        yield run_models


def rows(run):
    return {row["name"]: row for row in json.loads(run("list", "--json").stdout)}


def test_list_names_every_network_and_whether_it_is_here(run):
    before = rows(run)
    assert list(before) == ["kin", *CARDS]
    states = {name: row["state"] for name, row in before.items()}
    assert (states["kin"], states["resnet50"], states["sscd"]) == ("built in", "to download", "to import")
    assert before["dinov2-small"]["bytes"] == 88_532_934
    assert run("pull", "resnet50", "-q").exit_code == 0
    assert rows(run)["resnet50"]["state"] == "here"
    text = run("list").stdout
    assert "resnet50" in text and "Apache-2.0" in text and str(run.folder) in text
    assert run.server.asked


def test_list_and_show_ask_nobody(run):
    run("list")
    run("show", "siglip")
    assert run.server.asked == []


def test_pull_says_what_came_and_where_it_lies_and_then_needs_no_network(run):
    done = run("pull", "resnet50")
    ledger = json.loads((run.folder / "resnet50" / "ledger.json").read_text())
    assert done.stdout == f"resnet50  2048 numbers  sha256 {ledger['sha256']}  {run.folder}/resnet50/model.onnx\n"
    run.server.asked.clear()
    assert run("pull", "resnet50", "--offline").exit_code == 0
    assert run.server.asked == []


def test_pull_offline_of_what_is_not_here_fails(run):
    done = run("pull", "resnet50", "--offline")
    assert done.exit_code == 2 and "--offline was given" in done.stderr


def test_show_tells_the_card_the_pins_and_the_ledger(run):
    before = json.loads(run("show", "dinov2-small", "--json").stdout)
    assert before["revision"] == CARDS["dinov2-small"].revision and before["state"] == "to download"
    assert before["size"] == 224 and before["pooling"] == "token 0" and before["threshold_from"]
    run("pull", "resnet50")
    after = json.loads(run("show", "resnet50", "--json").stdout)
    assert after["recorded commit"] == COMMIT and after["recorded how"] == "downloaded"
    assert f"path             {run.folder}/resnet50/model.onnx\n" in run("show", "resnet50").stdout


def test_show_of_an_own_network_tells_how_it_will_be_used(run, tmp_path):
    (tmp_path / "net.onnx").write_bytes(network(48, nhwc=True, size=96))
    facts = json.loads(run("show", f"onnx:{tmp_path / 'net.onnx'}", "--json").stdout)
    assert (facts["dim"], facts["layout"], facts["shape"], facts["threshold"]) == (48, "NHWC", [96, 96], 0.85)


def test_rm_removes_the_file_and_keeps_its_pin_unless_it_is_to_be_forgotten(run):
    run("pull", "resnet50")
    size = len(run.server.files[CARDS["resnet50"].source, "model.onnx"])
    assert run("rm", "resnet50").stdout == f"{size / 1e6:.1f} MB freed\n"
    assert [path.name for path in (run.folder / "resnet50").iterdir()] == ["ledger.json"]
    (run.folder / ".partial-killed").mkdir()
    run("rm", "--all", "--forget")
    assert not (run.folder / ".partial-killed").exists()
    assert not (run.folder / "resnet50").exists()


def test_a_damaged_file_can_be_removed_and_fetched_again(run, monkeypatch):
    run("pull", "resnet50")
    (run.folder / "resnet50" / "model.onnx").write_bytes(b"damaged")
    assert run("pull", "resnet50").exit_code == 2
    run("rm", "resnet50")
    assert run("pull", "resnet50").exit_code == 0
    (run.folder / "resnet50" / "ledger.json").write_text("damaged")
    assert run("rm", "resnet50", "--forget").exit_code == 0
    assert run("pull", "resnet50").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["pull", "resnet51"], "unknown network `resnet51`"),
        (["pull", "kin"], "`kin` is part of imkin"),
        (["rm", "kin"], "`kin` is part of imkin"),
        (["rm"], "say which networks to remove"),
        (["rm", "resnet50", "--all"], "say which networks to remove"),
        (["import", "resnet50", "x.pt"], "only `sscd` is imported"),
        (["import", "sscd", "none.pt"], "there is no file none.pt"),
        (["show", "onnx:none.onnx"], "there is no network none.onnx"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, arguments, reason):
    done = run(*arguments)
    assert done.exit_code == 2 and done.stdout == ""
    assert reason in done.stderr and done.stderr.count("\n") == 1


def test_a_pinned_sha256_is_held_to_on_the_command_line(run, monkeypatch):
    monkeypatch.setitem(CARDS, "resnet50", replace(CARDS["resnet50"], sha256="1" * 64))
    done = run("pull", "resnet50")
    assert done.exit_code == 2 and "pinned by imkin" in done.stderr
    assert list(run.folder.iterdir()) == []


def test_the_options_of_networks_reach_the_network(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(network())
    made = network_of(f"onnx:{path}", size="160", mean="0.5", std="0.25,0.5,1", device="cpu")
    assert made.spec.params["shape"] == [160, 160]
    assert (made.spec.params["mean"], made.spec.params["std"]) == ([0.5] * 3, [0.25, 0.5, 1])
    assert network_of(f"onnx:{path}", size="auto").spec.params["small"] == 112
    assert network_of("phash", device="cpu", offline=True) == "phash"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"by": "phash", "size": "160"}, "--size goes with a network, not with `phash`"),
        ({"size": "big"}, "--size is a number of pixels or auto, not big"),
        ({"mean": "dark"}, "--mean is one number, or three"),
        ({"std": "1,2"}, "one number or three"),
    ],
)
def test_options_of_networks_that_cannot_be_say_so(tmp_path, options, reason):
    path = tmp_path / "net.onnx"
    path.write_bytes(network())
    with pytest.raises(UsageError, match=reason):
        network_of(**({"by": f"onnx:{path}"} | options))
