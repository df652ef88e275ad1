"""JUnit's XML, which every CI server shows as tests: one case a finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from imkin.report.files import shown

# What XML 1.0 has no way to write (2.2): most control characters, lone surrogates, U+FFFE and U+FFFF.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Outcome = Literal["passed", "failure", "skipped"]


@dataclass(frozen=True, slots=True)
class Case:
    """One finding. kind: what sort it is, a dotted name; message: one line, shown where it did not pass."""

    name: str
    kind: str
    outcome: Outcome = "passed"
    message: str = ""


def junit_lines(suite: str, cases: Iterable[Case]) -> Iterator[str]:
    """The file, line by line; what XML cannot hold (a file name may) is shown as U+FFFD."""
    cases = tuple(cases)
    counts = (
        f'tests="{len(cases)}" failures="{_count(cases, "failure")}" skipped="{_count(cases, "skipped")}" errors="0"'
    )
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites {counts}>\n"
    yield f'<testsuite name="{_text(suite)}" {counts}>\n'
    for case in cases:
        start = f'<testcase classname="{_text(case.kind)}" name="{_text(case.name)}"'
        if case.outcome == "passed":
            yield f"{start}/>\n"
        else:
            yield f'{start}><{case.outcome} message="{_text(case.message)}"/></testcase>\n'
    yield "</testsuite>\n</testsuites>\n"


def _count(cases: Sequence[Case], outcome: Outcome) -> int:
    return sum(case.outcome == outcome for case in cases)


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", shown(text)).replace("\n", " ").replace("\t", " ").replace("\r", " "))
