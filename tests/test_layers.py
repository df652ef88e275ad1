"""The house: imports go down its levels only, dear libraries stand behind one module each."""

import ast
import subprocess
import sys
from pathlib import Path

import imkin

SOURCE = Path(imkin.__file__).parent

# The longest matching name decides. `prints` is L1 and reaches what is above it by name only, when asked for.
LEVELS = {
    "imkin.errors": 0,
    "imkin.types": 0,
    "imkin.result": 0,
    "imkin.plan": 0,
    "imkin.measured": 0,
    "imkin.image": 1,
    "imkin.draw": 1,
    "imkin.metric": 1,
    "imkin.metric_ssim": 1,
    "imkin.prints": 1,
    "imkin.join": 1,
    "imkin.grouping": 1,
    "imkin.ordering": 1,
    "imkin.resplit": 1,
    "imkin.edits": 1,
    "imkin.truth": 1,
    "imkin.rates": 1,
    "imkin.policy": 1,
    "imkin.report": 1,
    "imkin.sources": 2,
    "imkin.catalogue": 2,
    "imkin.models": 2,
    "imkin.engine": 2,
    "imkin.bundles": 2,
    "imkin.actions": 2,
    "imkin.facts": 2,
    "imkin.labels": 2,
    "imkin.cleaning": 3,
    "imkin.demo": 3,
    "imkin.scan": 3,
    "imkin.scale": 3,
    "imkin.stills": 3,
    "imkin.stills_result": 3,
    "imkin.library": 3,
    "imkin.searching": 3,
    "imkin.nearby": 3,
    "imkin.segments": 3,
    "imkin.collection": 3,
    "imkin.leakage": 3,
    "imkin.calibration": 3,
    "imkin.evaluation": 3,
    "imkin.comparison": 3,
    "imkin.findings": 3,
    "imkin.gather": 3,
    "imkin.review": 3,
    "imkin.videos": 3,
    "imkin.api": 3,
    "imkin.api_tables": 3,
    "imkin": 3,
    "imkin.__main__": 4,
    "imkin.cli": 4,
    "imkin.server": 4,
    "imkin.train": 4,
    "imkin.testing": 4,
}

# Each library and the only places that import it.
HOMES = {
    "PIL": ("imkin.image", "imkin.draw"),
    "pi_heif": ("imkin.image",),
    "rawpy": ("imkin.image",),
    "sqlite3": ("imkin.catalogue",),
    "psycopg": ("imkin.catalogue",),
    "torch": ("imkin.train", "imkin.models"),
    "timm": ("imkin.train",),
    "ray": ("imkin.engine",),
    "faiss": ("imkin.join",),
    "av": ("imkin.sources",),
    "httpx2": ("imkin.sources",),
    "httpcore2": ("imkin.sources",),
    "google": ("imkin.sources",),
    "pyarrow": ("imkin.sources",),
    "fsspec": ("imkin.sources",),
    "typer": ("imkin.cli",),
    "fastapi": ("imkin.server",),
    "starlette": ("imkin.server",),
    "pydantic": ("imkin.server",),
    "uvicorn": ("imkin.server",),
    "jinja2": ("imkin.server",),
    "python_multipart": ("imkin.server",),
    "onnxruntime": ("imkin.models", "imkin.prints", "imkin.train"),
}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ["imkin", *path.relative_to(SOURCE).with_suffix("").parts]
        yield ".".join(part for part in parts if part != "__init__"), ast.parse(path.read_text())


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "imkin":
                yield from (f"imkin.{alias.name}" for alias in node.names)
            else:
                yield node.module


def level(name):
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (found := LEVELS.get(".".join(parts[:length]))) is not None:
            return found
    raise AssertionError(f"{name} has no level")


def room(name):
    return ".".join(name.split(".")[:2])


def test_every_module_has_a_level_of_its_own():
    unknown = {room(name) for name, _ in modules()} - set(LEVELS)
    assert not unknown, "add them to LEVELS"


def test_imports_go_down_the_levels_only():
    wrong = [
        f"{name} imports {other}"
        for name, tree in modules()
        if name != "imkin"
        for other in imports(tree)
        if other.startswith("imkin.") and room(other) in LEVELS and level(other) > level(name)
    ]
    assert wrong == []


def test_the_faces_do_not_import_each_other():
    faces = {room for room, number in LEVELS.items() if number == 4}
    wrong = [
        f"{name} imports {other}"
        for name, tree in modules()
        if room(name) in faces
        for other in imports(tree)
        if room(other) in faces and room(other) != room(name)
    ]
    allowed = {("imkin.cli", "imkin.server"), ("imkin.cli", "imkin.train"), ("imkin.__main__", "imkin.cli")}
    assert [row for row in wrong if tuple(room(word) for word in row.split(" imports ")) not in allowed] == []


def test_dear_libraries_stay_in_their_rooms():
    wrong = [
        f"{name} imports {other}"
        for name, tree in modules()
        for other in imports(tree)
        if other.split(".")[0] in HOMES and not room(name).startswith(HOMES[other.split(".")[0]])
    ]
    assert wrong == []


def test_import_imkin_loads_nothing_heavy():
    code = "import sys, imkin; print(*sorted(m for m in sys.modules if m.split('.')[0] in sys.argv[1:]))"
    heavy = ["numpy", "scipy", "PIL", "typer", "rich", "sqlite3", "psycopg", "onnxruntime", "torch", "pi_heif"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""


def test_the_help_loads_no_numbers_and_no_pictures():
    code = (
        "import sys, contextlib, io, imkin.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    sys.argv = ['imkin', '--help']; imkin.cli.main()\n"
        "print(*sorted(m for m in sys.modules if m in ('numpy', 'scipy', 'PIL', 'sqlite3', 'onnxruntime')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == ""


def test_the_public_names_are_these():
    assert imkin.__all__ == sorted(imkin.__all__)
    assert set(imkin.__all__) == set(imkin._HOMES)
    for name in imkin.__all__:
        assert getattr(imkin, name) is not None
    code = "import imkin.grouping, imkin.comparison; print(callable(imkin.group), callable(imkin.compare))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "True True"
