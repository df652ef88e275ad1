"""The calibration that `--threshold auto` goes by: one JSON file beside the catalogue, which can be copied anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from imkin.catalogue.database import default_path
from imkin.errors import MissingPathError, UsageError
from imkin.types import Spec

AUTO = "auto"
ADVICE = "run `imkin calibrate PATHS --save` on your pictures, or give a number"


def stored_path() -> str:
    """The file that `imkin calibrate --save` writes."""
    return os.path.join(os.path.dirname(default_path()), "calibration.json")


def threshold_in(path: str | None, spec: Spec) -> float:
    """The recommended threshold of a method in a calibration file. path: None for the stored one.

    Raises MissingPathError (no such file) and UsageError (no calibration, or none for just these fingerprints).
    """
    path = path or stored_path()
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        methods = {method["name"]: method for method in found["methods"]}
    except FileNotFoundError:
        raise MissingPathError(f"there is no calibration {path}: {ADVICE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no calibration ({error}); {ADVICE}") from None
    return _threshold(path, methods, spec)


def _threshold(path: str, methods: Mapping[str, Mapping[str, object]], spec: Spec) -> float:
    if spec.name not in methods:
        raise UsageError(f"the calibration {path} knows {', '.join(methods)}, not `{spec.name}`: {ADVICE}")
    method = methods[spec.name]
    if method.get("spec") != spec.id:
        raise UsageError(f"the calibration {path} is of other fingerprints of `{spec.name}` than these: {ADVICE}")
    point = method.get("recommended")
    if point is None:
        raise UsageError(
            f"the calibration {path} found no threshold for `{spec.name}` with so few false pairs; {ADVICE}"
        )
    threshold = point.get("threshold") if isinstance(point, Mapping) else None
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise UsageError(f"{path} is no calibration: its threshold for `{spec.name}` is {threshold!r}; {ADVICE}")
    return float(threshold)
