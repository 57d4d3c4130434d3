"""Rows on their way to the server: they have no identifier, and are never changed."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgpack

from ...exception import InvalidValueError, ServerError, SimvueRunError
from .base import SimvueObject

_ROWS_MAX: Final = 16_000
"""Rows in one request: what official servers expect at most."""


class Rows(SimvueObject):
    """Rows of one run; ``commit`` sends them."""

    def commit(self) -> dict[str, Any] | None:
        """Send the rows; returns the server's answer, None if there are none.

        Raises InvalidValueError (a ValueError) if the server does not accept them.
        """
        rows = self._staged.pop(self._collection, [])
        answer = None
        for first in range(0, len(rows), _ROWS_MAX):
            body = {"run": self._staged["run"], self._collection: rows[first : first + _ROWS_MAX]}
            answer = self._send(f"/{self._collection}", body)
        return answer

    def delete(self) -> NoReturn:
        """Refuse: rows go with their run."""
        raise SimvueRunError(f"{self.label()} cannot be deleted; delete the run")

    def _send(self, path: str, content: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._remote.post(path, body=msgpack.packb(content))
        except ServerError as error:
            if error.status == 422:
                raise InvalidValueError(str(error)) from None
            raise
        return answer
