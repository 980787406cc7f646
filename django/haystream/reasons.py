"""What a config cannot say, and where in the project it stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return ""
        path = Path(self.file)
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        return f"{path}:{self.line}" if self.line else str(path)


class Untold(Exception):
    """A person has to decide. str() is what about, in a sentence without its end."""

    def __init__(self, message: str, place: Place | None = None):
        super().__init__(message)
        self.place = place or Place()

    def at(self, place: Place) -> Untold:
        """The same, in that place unless a nearer one is known."""
        return self if self.place.file else Untold(str(self), place)

    def __str__(self) -> str:
        return super().__str__()

    def todo(self) -> str:
        return f"TODO {self.place}: {self}" if self.place.file else f"TODO {self}"


def place_of(thing: Callable | type | Any) -> Place:
    """Where a class or function is defined; nowhere where Python does not know."""
    try:
        thing = inspect.unwrap(thing)
        return Place(inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1])
    except (OSError, TypeError):
        return Place()
