"""The container, as far as it can be tried without a daemon: its commands run, its composition means what it says."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def instructions(word):
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(f"{word} ")]


def test_the_image_is_slim_runs_as_nobody_in_particular_and_tells_its_health():
    assert {line.split()[0] for line in instructions("FROM")} == {"python:3.13-slim"}
    assert instructions("USER") == ["imkin"]
    assert LINES.index("USER imkin") < LINES.index(f"ENTRYPOINT {instructions('ENTRYPOINT')[0]}")
    assert instructions("EXPOSE") == ["9082"]
    assert "/healthz" in instructions("HEALTHCHECK")[0]


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for line in instructions("COPY"):
        if not line.startswith("--from"):
            for name in line.split()[:-1]:
                assert (ROOT / name).exists()
                assert f"!{name.removeprefix('./')}" in ignored


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder in which the installing RUN line was run in a fresh environment, from the files that are copied."""
    folder = tmp_path_factory.mktemp("container")
    for line in instructions("COPY"):
        for name in [] if line.startswith("--from") else line.split()[:-1]:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
    (install,) = [line for line in instructions("RUN") if "pip install" in line]
    install = install.replace("/opt/imkin", str(folder / "opt")).replace("python ", f"{sys.executable} ", 1)
    # The parts that it needs lie here already; nothing is fetched.
    offline = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    environment = {**os.environ, **offline, "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(install, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_commands_of_the_image_install_serve_and_check_the_health(built):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    entry = json.loads(instructions("ENTRYPOINT")[0])
    command = [*entry, *json.loads(instructions("CMD")[0]), "--no-token"]
    words = [word.replace("9082", port).replace("/data", str(built / "data")) for word in command]
    environment = {
        **os.environ,
        "PATH": f"{built / 'opt' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }
    check = json.loads(re.search(r"CMD (\[.*\])", instructions("HEALTHCHECK")[0])[1])
    check = [built / "opt" / "bin" / "python", *(word.replace("9082", port) for word in check[1:])]
    assert subprocess.run(check, env=environment, capture_output=True, timeout=60).returncode != 0
    with subprocess.Popen(words, env=environment, cwd=built, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert "serving on" in served.stderr.readline()
            assert subprocess.run(check, env=environment, capture_output=True, timeout=60).returncode == 0
        finally:
            served.send_signal(signal.SIGTERM)
            served.communicate(timeout=60)


def test_without_a_token_the_image_does_not_serve_others(built):
    words = [built / "opt" / "bin" / "imkin", *json.loads(instructions("CMD")[0])]
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "--token-file" in done.stderr) == (2, True)


def test_the_composition_serves_port_9082_on_loopback_and_keeps_the_catalogue():
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = composed["services"]["imkin"]
    assert service["ports"] == ["127.0.0.1:9082:9082"]
    assert service["volumes"] == ["catalogue:/data"]
    assert "catalogue" in composed["volumes"]
    assert service["read_only"] is True
    command = service["command"]
    assert command[: len(command) - 1] == json.loads(instructions("CMD")[0])
    assert command[-1] == "--no-token"
