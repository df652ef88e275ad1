"""What a session is about, and what is said of its groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from imkin import image
from imkin.actions import Wish
from imkin.grouping import Grouping

State = Literal["open", "kept", "all", "different"]
STATES: tuple[State, ...] = ("open", "kept", "all", "different")


class Named(Protocol):
    """A relation of two pictures; its name in words."""

    @property
    def name(self) -> str:
        """Such as «cropped»."""


Relate = Callable[[NDArray[np.int64], NDArray[np.int64]], Sequence[Named]]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands. keeper: the kept one, or the one that the rules on size, bytes and time suggest.

    going: files that go, or would if the keeper were kept.
    """

    state: State
    keeper: int
    kept: tuple[int, ...]
    going: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What a session is about. references: how many roots, the first ones, are reference folders."""

    wish: Wish
    method: str
    threshold: float
    floor: float
    grouping: Grouping = "transitive"
    references: int = 0
    limits: image.Limits = image.Limits()
