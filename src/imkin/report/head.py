"""The head of every page: one look, a policy that lets nothing run or load but what the page holds, escaped text."""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files as package_files

from imkin.report.files import shown


def read(name: str) -> str:
    """A style or script that lies beside this module."""
    return package_files("imkin.report").joinpath(name).read_text("utf-8")


def text(value: str) -> str:
    """A value as text of a page."""
    return html.escape(shown(value))


def head(title: str, *, styles: tuple[str, ...], script: str = "") -> str:
    """From the doctype to the opening of the body.

    styles: files that come after the common look. script: the one script that may run, which the page itself brings.
    """
    style = "".join(map(read, ("look.css", *styles)))
    allowed = f"script-src {_digest(script)}; " if script else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; {allowed}base-uri 'none'; form-action 'none'"
    )
    return _HEAD.format(policy=policy, title=text(title), style=style)


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""
