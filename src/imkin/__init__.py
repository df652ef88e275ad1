"""imkin finds the kin of your images: exact copies, edited copies and look-alikes.

    >>> import imkin
    >>> result = imkin.group(["photos"], by="phash", threshold=0.9)
    >>> result.groups[0].keeper
    'photos/a.jpg'

The names below are the whole interface; each is loaded on first use, so that importing imkin costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from imkin.api import calibrate, compare, evaluate, fingerprint, frames, group, group_videos, leaks, pairs, rank
    from imkin.api_tables import fetch, sort
    from imkin.collection import Added, Collection, Match
    from imkin.comparison import Comparison
    from imkin.errors import ImkinError
    from imkin.gather import Sheet, Sorted
    from imkin.image import Limits
    from imkin.leakage import Leakage
    from imkin.library import Library, Sample, Scope, default_catalogue
    from imkin.measured import Calibration, Evaluation
    from imkin.metric import similarity
    from imkin.prints import names as methods
    from imkin.result import Group, Member, Pair, Result, VideoResult
    from imkin.sources import Filter
    from imkin.sources.download import Fetched
    from imkin.stills_result import FramesResult
    from imkin.types import Failure, File, Prints, Spec

_HOMES = {
    "Added": "imkin.collection",
    "Calibration": "imkin.measured",
    "Collection": "imkin.collection",
    "Comparison": "imkin.comparison",
    "Evaluation": "imkin.measured",
    "Failure": "imkin.types",
    "Fetched": "imkin.sources.download",
    "File": "imkin.types",
    "Filter": "imkin.sources",
    "FramesResult": "imkin.stills_result",
    "Group": "imkin.result",
    "ImkinError": "imkin.errors",
    "Leakage": "imkin.leakage",
    "Library": "imkin.library",
    "Limits": "imkin.image",
    "Match": "imkin.collection",
    "Member": "imkin.result",
    "Pair": "imkin.result",
    "Prints": "imkin.types",
    "Result": "imkin.result",
    "Sample": "imkin.library",
    "Scope": "imkin.library",
    "Sheet": "imkin.gather",
    "Sorted": "imkin.gather",
    "Spec": "imkin.types",
    "VideoResult": "imkin.result",
    "calibrate": "imkin.api",
    "compare": "imkin.api",
    "default_catalogue": "imkin.library",
    "fetch": "imkin.api_tables",
    "evaluate": "imkin.api",
    "fingerprint": "imkin.api",
    "frames": "imkin.api",
    "group": "imkin.api",
    "group_videos": "imkin.api",
    "leaks": "imkin.api",
    "methods": "imkin.prints:names",
    "pairs": "imkin.api",
    "rank": "imkin.api",
    "similarity": "imkin.metric",
    "sort": "imkin.api_tables",
}

__all__ = [
    "Added",
    "Calibration",
    "Collection",
    "Comparison",
    "Evaluation",
    "Failure",
    "Fetched",
    "File",
    "Filter",
    "FramesResult",
    "Group",
    "ImkinError",
    "Leakage",
    "Library",
    "Limits",
    "Match",
    "Member",
    "Pair",
    "Prints",
    "Result",
    "Sample",
    "Scope",
    "Sheet",
    "Sorted",
    "Spec",
    "VideoResult",
    "calibrate",
    "compare",
    "default_catalogue",
    "evaluate",
    "fetch",
    "fingerprint",
    "frames",
    "group",
    "group_videos",
    "leaks",
    "methods",
    "pairs",
    "rank",
    "similarity",
    "sort",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'imkin' has no attribute '{name}'")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    # Kept, so that the next use costs nothing.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
