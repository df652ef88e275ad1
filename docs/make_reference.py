"""Write commands.md, python.md and api.md in docs/reference from the code; --check only tells if they are fresh."""

import inspect
import json
import sys
from pathlib import Path

from typer.main import get_command

import imkin
from imkin.cli import app

HERE = Path(__file__).parent / "reference"


def commands() -> str:
    """Every command with its options, as the program itself describes them."""
    group = get_command(app)
    lines = ["# Commands", "", "Made by `docs/make_reference.py` from the program itself.", ""]
    for name, command in sorted(walk(group)):
        words = [f"`imkin {name}`", *(f"`{p.name}`" for p in command.params if is_argument(p))]
        lines += [f"## {' '.join(words)}", "", inspect.cleandoc(command.help or ""), ""]
        options = [p for p in command.params if not is_argument(p) and p.name != "help"]
        if options:
            lines += ["| option | meaning | default |", "|---|---|---|"]
            lines += [row(option) for option in options]
            lines.append("")
    return "\n".join(lines)


def walk(group, prefix=""):
    """All commands below a group, by their full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from walk(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def is_argument(parameter) -> bool:
    """Whether a parameter stands for itself, without a name before it."""
    return parameter.param_type_name == "argument"


def row(option) -> str:
    """One option as a row of the table."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = "" if option.default is None or option.default is False else f"`{option.default}`"
    text = (option.help or "").replace("|", "\\|")
    return f"| {names} | {text} | {default} |"


def python() -> str:
    """Every public name with its signature and docstring."""
    lines = ["# Python", "", "Made by `docs/make_reference.py` from the docstrings.", ""]
    for name in imkin.__all__:
        thing = getattr(imkin, name)
        text = inspect.getdoc(thing) or ""
        lines += [f"## `imkin.{name}`", ""]
        if inspect.isfunction(thing):
            lines += ["```text", f"{name}{signature(thing)}", "```", ""]
        lines += [text, ""]
        if inspect.isclass(thing):
            for attribute, method in inspect.getmembers(thing, inspect.isfunction):
                if not attribute.startswith("_"):
                    lines += [f"- `{attribute}{signature(method)}`: {(inspect.getdoc(method) or '').splitlines()[0]}"]
            lines.append("")
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def api() -> str:
    """Every route of the service, from its own schema."""
    from imkin.server.app import create_app
    from imkin.server.settings import Settings

    schema = create_app(Settings()).openapi()
    lines = ["# HTTP API", "", "Made by `docs/make_reference.py` from the schema at `/openapi.json`.", ""]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            lines += [f"## `{method.upper()} {path}`", "", route["summary"] + ".", ""]
            if "description" in route:
                lines += [route["description"], ""]
            lines += _api_parameters(route)
            for body in route.get("requestBody", {}).get("content", {}).values():
                for example in body.get("examples", {}).values():
                    lines += ["```sh", example["summary"], "```", ""]
            lines += ["| answer | |", "|---|---|"]
            lines += [f"| {code} | {_answer(answer)} |" for code, answer in sorted(route["responses"].items())]
            lines.append("")
    lines += ["# Objects", ""]
    for name, model in sorted(schema["components"]["schemas"].items()):
        if model.get("type") == "object" and "ValidationError" not in name:
            lines += _api_object(name, model)
    return "\n".join(lines)


def _api_parameters(route):
    rows = [(one["name"], one["in"], one["schema"], one.get("description", "")) for one in route.get("parameters", [])]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        if "$ref" in body["schema"]:
            rows.append(("", kind, body["schema"], ""))
        for name, part in body["schema"].get("properties", {}).items():
            rows.append((name, kind, part, ""))
    if not rows:
        return []
    table = [
        f"| {f'`{name}`' if name else ''} | {place} | {_kind(kind)} | {text} |" for name, place, kind, text in rows
    ]
    return ["| parameter | in | what | |", "|---|---|---|---|", *table, ""]


def _api_object(name, model):
    rows = [
        f"| `{field}` | {_kind(kind)} | {kind.get('description', '')} |"
        for field, kind in model.get("properties", {}).items()
    ]
    lines = [f"## {name}", "", model.get("description", ""), "", "| field | what | |", "|---|---|---|", *rows, ""]
    for example in model.get("examples", []):
        lines += ["```json", json.dumps(example, indent=1), "```", ""]
    return lines


def _answer(answer) -> str:
    """What an answer holds, and what it means."""
    kinds = [_kind(body["schema"]) for body in answer.get("content", {}).values() if "schema" in body]
    return f"{answer['description']} {' or '.join(dict.fromkeys(kind for kind in kinds if kind))}".strip()


def _kind(schema) -> str:
    """A type in a word or two."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    words = [schema.get("format", schema.get("type", "")), *bounds]
    return " ".join(words) + (f", default `{schema['default']}`" if "default" in schema else "")


def signature(function) -> str:
    """Parameters as they are written, without what memory they lie at."""
    parts = []
    for parameter in inspect.signature(function).parameters.values():
        text = str(parameter.replace(default=inspect.Parameter.empty)).replace("'", "")
        if parameter.default is not inspect.Parameter.empty:
            default = parameter.default
            known = default is None or isinstance(default, (str, int, float, bool, tuple))
            text += f" = {default!r}" if known else f" = {type(default).__name__}()"
        parts.append(text)
    return f"({', '.join(parts)})"


def main() -> None:
    """Write the pages, or check them."""
    stale = []
    for name, text in (("commands.md", commands()), ("python.md", python()), ("api.md", api())):
        path, text = HERE / name, text.rstrip() + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(name)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if stale:
        sys.exit(f"{', '.join(stale)} differ from the code: run python docs/make_reference.py")


if __name__ == "__main__":
    main()
