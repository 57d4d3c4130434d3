"""Tracking for simulations: the front door.

``import simvue`` costs a few milliseconds: all but the errors is loaded when first named, so
that a simulation that only logs never loads what only reads.
"""

from __future__ import annotations

from .exception import (
    ConfigurationError,
    InvalidValueError,
    NotInitialisedError,
    ObjectNotFoundError,
    ServerError,
    SimvueRunError,
    StoreError,
    UnauthorisedError,
)
from .version import __version__

# Written out, because importing typing for this one name doubles what we cost.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import Client
    from .handler import Handler
    from .models import RunInput
    from .run import Run

__all__ = [
    "Client",
    "ConfigurationError",
    "Handler",
    "InvalidValueError",
    "NotInitialisedError",
    "ObjectNotFoundError",
    "Run",
    "RunInput",
    "ServerError",
    "SimvueRunError",
    "StoreError",
    "UnauthorisedError",
    "__version__",
]

_HOMES = {"Client": "client", "Handler": "handler", "Run": "run", "RunInput": "models"}
"""Which module each of the lazy names lives in."""

_MODULES = {*_HOMES.values(), "api", "config", "metadata", "sender", "utilities"}
"""Modules that scripts reach after ``import simvue`` alone."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'simvue' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
