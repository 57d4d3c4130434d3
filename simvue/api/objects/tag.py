"""Tags: names that runs and folders wear."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...records import moment
from .base import Member, SimvueObject, Sort

if TYPE_CHECKING:
    from typing_extensions import Self


class TagSort(Sort):
    """A column to sort tags by: name or created."""


class Colour(str):
    """A CSS colour: the text, and red, green and blue of it as ``r``, ``g`` and ``b``, 0 to 1."""

    @property
    def r(self) -> float:
        """Red."""
        return self._parts()[0]

    @property
    def g(self) -> float:
        """Green."""
        return self._parts()[1]

    @property
    def b(self) -> float:
        """Blue."""
        return self._parts()[2]

    def _parts(self) -> tuple[float, ...]:
        if re.fullmatch("#[0-9a-fA-F]{6}", self):
            return tuple(byte / 255 for byte in bytes.fromhex(self[1:]))
        # The names of CSS are its to know, and simvue-cli, which asks, has it.
        try:
            from pydantic_extra_types.color import Color
        except ImportError:
            raise ImportError(
                f"to mix {str(self)!r} needs pydantic-extra-types: "
                "pip install 'simvue[connectors]'",
                name="pydantic_extra_types",
            ) from None
        return tuple(part / 255 for part in Color(str(self)).as_rgb_tuple(alpha=False))


def _read_colour(text: str | None) -> Colour | None:
    return Colour(text) if text else None


class Tag(SimvueObject):
    """A tag; the server makes those that runs name by itself."""

    _collection = "tags"

    name = Member[str]("What the tag is called.")
    description = Member[str | None]("What it means.")
    colour = Member[Colour | None]("Its colour.", read=_read_colour, write=str)
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def new(cls, *, name: str, **settings: Any) -> Self:
        """Prepare a tag called *name*; if there is one, ``commit`` finds it."""
        return cls._prepare(settings, name=name)
