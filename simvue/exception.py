"""Every exception, sorted by whose fault it is.

::

    Exception
    ├── RuntimeError
    │   └── SimvueRunError              a Run was used in a way that cannot work
    │       ├── InvalidValueError       yours: a value, name, step or argument (also a ValueError)
    │       ├── ConfigurationError      yours: a setting or a file of settings
    │       ├── NotInitialisedError     yours: a call before init, or after close
    │       └── UnauthorisedError       yours: the server refuses the token
    ├── ObjectNotFoundError             yours: no such run, folder, tag on the server
    ├── ServerError (RuntimeError)      the server's: it answered with an error, or not at all
    └── StoreError (RuntimeError)       ours: the server's store cannot be opened or written

Trouble of the network or the server never raises out of a ``log_*`` call: it is a
counter and one warning.
"""

from __future__ import annotations


class SimvueRunError(RuntimeError):
    """A run was used in a way that cannot work; the message says what to do instead."""


class InvalidValueError(SimvueRunError, ValueError):
    """A value, name, step or argument is not acceptable; nothing was written."""


class ConfigurationError(SimvueRunError):
    """A setting is missing or wrong; the message names the file or variable it came from."""


class NotInitialisedError(SimvueRunError):
    """The run is not open: ``init`` or ``reconnect`` comes first, and nothing after ``close``."""


class UnauthorisedError(SimvueRunError):
    """The server refuses the token; the message says where it came from, never what it is."""


class ObjectNotFoundError(Exception):
    """The server has no such object, or it was deleted."""

    def __init__(self, obj_type: str, name: str, extra: str | None = None) -> None:
        super().__init__(f"{obj_type} '{name}' was not found{': ' + extra if extra else ''}")


class ServerError(RuntimeError):
    """The server answered with an error, or did not answer; ``status`` is None for the latter."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


ObjectDispatchError = ServerError
"""The official package's name for an object that the server did not take."""


class StoreError(RuntimeError):
    """The store of the server cannot be opened or written; the message is one clear sentence."""
