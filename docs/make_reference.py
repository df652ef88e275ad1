"""Write docs/reference/commands.md and python.md from the code; --check only tells whether they are up to date."""

import inspect
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
    """Write both pages, or check them."""
    stale = []
    for name, text in (("commands.md", commands()), ("python.md", python())):
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
