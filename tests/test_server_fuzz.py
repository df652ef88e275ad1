"""The service against its own schema (schemathesis), and against damaged files: no 500, no growth, no hang.

`IMKIN_FUZZ=1000 python -m pytest tests/test_server_fuzz.py` tries so many examples of each route.
"""

import json
import os
import re

import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from imkin.server.app import create_app
from imkin.server.settings import Settings
from pictures import drawn, parts
from serving import serving

EXAMPLES = int(os.environ.get("IMKIN_FUZZ", "4"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "photos").mkdir()
    for seed in range(3):
        (folder / "photos" / f"{seed}.png").write_bytes(drawn(seed // 2))
    options = ("--root", str(folder / "photos"), "--workers", "2", "--work-seconds", "20")
    with serving(folder, *options, XDG_DATA_HOME=str(folder / "share")) as running:
        yield running


SCHEMA = schemathesis.openapi.from_dict(create_app(Settings()).openapi())
# The stream of events ends with its job; it is tried in test_server_folders.
ROUTES = [(method, path) for path in SCHEMA for method in SCHEMA[path] if not path.endswith("/events")]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_service_keeps_to_its_schema(method, path, service):
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=EXAMPLES < 10,
        database=None,
    )
    @given(SCHEMA[path][method].as_strategy())
    def tried(case):
        answer = case.call(base_url=service.url, timeout=60)
        case.validate_response(answer, checks=CHECKS)
        assert os.path.dirname(service.log) not in answer.text

    tried()


def test_every_body_and_every_error_of_the_schema_has_an_example():
    schema = create_app(Settings()).openapi()
    objects = schema["components"]["schemas"]
    routes = [route for methods in schema["paths"].values() for route in methods.values()]
    bodies = [body for route in routes for body in route.get("requestBody", {}).get("content", {}).values()]
    errors = [answer for route in routes for code, answer in route["responses"].items() if code >= "400"]
    assert {ref.rpartition("/")[2] for ref in re.findall(r"#/components/schemas/\w+", json.dumps(schema))} <= set(
        objects
    )
    plain = [body["schema"] for body in bodies if "examples" not in body]
    plain = [objects[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in plain]
    assert (len(bodies), len(errors)) > (8, 40)
    assert [each["title"] for each in plain if not each.get("examples")] == []
    assert all(
        body["examples"]["curl"]["summary"].startswith("curl -F images=@one.jpg")
        for body in bodies
        if "examples" in body
    )
    shown = [content["example"] for answer in errors for content in answer["content"].values()]
    assert {example["type"].startswith("urn:imkin:") for example in shown} == {True}
    assert len(shown) == len(errors)


def resident(process):
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


@pytest.mark.parametrize("path", ["/api/v1/groups?by=phash", "/api/imageSimilarityByHash"])
def test_damaged_files_cost_no_error_no_memory_and_no_hang(service, shared, path):
    files = sorted(file for file in (shared / "torture").rglob("*") if file.is_file())
    step = 1 if EXAMPLES > 10 else 12
    chosen = files[::step]
    process = psutil.Process(service.process.pid)
    with service.client() as client:
        sizes = []
        for start in range(0, len(chosen), 20):
            sent = [(f"f{at}", (file.name, file.read_bytes())) for at, file in enumerate(chosen[start : start + 20])]
            answer = client.post(path, files=sent)
            assert answer.status_code == 200, answer.text
            if "groups" in path:
                found = answer.json()
                assert found["images"] + len(found["failures"]) == len(sent)
            sizes.append(resident(process))
        assert max(sizes[len(sizes) // 2 :]) < sizes[len(sizes) // 2 - 1] + 300_000_000
        assert client.post("/api/v1/groups?by=phash", files=parts(drawn(1))).status_code == 200
    assert "Traceback" not in service.said()
