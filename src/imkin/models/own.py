"""The card of the user's own network: a JSON object beside the ONNX file, of the same name, all keys optional."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from imkin.errors import UsageError
from imkin.models.cards import Recipe

# DESIGN, «Methods».
THRESHOLD = 0.85
NOTHING_SAID = Recipe()


@dataclass(frozen=True, slots=True)
class OwnCard:
    """What `NAME.json` beside `NAME.onnx` says. path: of the card; None: there is none."""

    path: str | None = None
    recipe: Recipe = NOTHING_SAID
    threshold: float = THRESHOLD
    sha256: str | None = None
    input: str | None = None


def own_card(model: str) -> OwnCard:
    """The card beside a model file. UsageError: it is no JSON object, or a value is not of its key's kind."""
    path = os.path.splitext(model)[0] + ".json"
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read())
    except FileNotFoundError:
        return OwnCard()
    except (OSError, ValueError) as error:
        raise UsageError(f"the model card {path} cannot be read: {error}; mend it, or move it away") from error
    if not isinstance(facts, dict):
        raise UsageError(f"the model card {path} is no JSON object; mend it, or move it away")
    return _checked(path, facts)


def _checked(path: str, facts: dict[str, Any]) -> OwnCard:
    def take(key: str, expected: str, holds: bool) -> Any:  # noqa: FBT001
        if key in facts and facts[key] is not None and not holds:
            raise UsageError(f"the model card {path} has `{key}`: {facts[key]!r}; expected {expected}")
        return facts.get(key)

    def whole(key: str) -> int | None:
        value: Any = facts.get(key)
        good: int | None = take(key, "a number over 0", type(value) is int and value > 0)
        return good

    def share(key: str) -> float | None:
        value: Any = facts.get(key)
        good: float | None = take(key, "a number over 0 and at most 1", type(value) in (int, float) and 0 < value <= 1)
        return good

    def text(key: str) -> str | None:
        good: str | None = take(key, "a text", isinstance(facts.get(key), str))
        return good

    def choice(key: str, *known: str) -> Any:
        return take(key, " or ".join(known), facts.get(key) in known)

    pooling = choice("pooling", "token 0", "mean", "in the graph")
    recipe = Recipe(
        size=whole("size") if facts.get("size") != "auto" else None,
        fit=choice("fit", "squeeze", "crop") or "squeeze",
        crop=share("crop") or 1.0,
        mean=channels(facts["mean"], f"the `mean` of the model card {path}") if facts.get("mean") is not None else None,
        std=channels(facts["std"], f"the `std` of the model card {path}", over_zero=True)
        if facts.get("std") is not None
        else None,
        layout=choice("layout", "NCHW", "NHWC"),
        output=text("output"),
        pooling=None if pooling == "in the graph" else pooling,
        cut=bool(take("cut", "true or false", isinstance(facts.get("cut"), bool))),
        dim=whole("dim"),
    )
    return OwnCard(path, recipe, share("threshold") or THRESHOLD, text("sha256"), text("input"))


def channels(value: Any, what: str, *, over_zero: bool = False) -> tuple[float, ...]:
    """One number for every channel, or one for each of three: where white is 1. UsageError: anything else."""
    numbers = value if isinstance(value, list | tuple) else [value]
    if len(numbers) not in (1, 3) or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise UsageError(f"{what} is one number or three, not {value!r}")
    if not all(0 <= n <= 1 for n in numbers):
        raise UsageError(f"{what} is where white is 1, so in 0..1, not {value!r}; of 0..255, divide by 255")
    if over_zero and not all(numbers):
        raise UsageError(f"{what} must be over 0, not {value!r}")
    return tuple(float(n) for n in numbers)
