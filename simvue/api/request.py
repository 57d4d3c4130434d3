"""Single requests to any address, with the patience of the official package.

For scripts that speak to the server themselves, with headers of their own; `simvue.remote`
is what we speak through.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import requests

from ..exception import ObjectNotFoundError, ServerError
from ..listing import PAGE
from ..remote import ATTEMPTS, TIMEOUT_S, WAIT_S
from .url import URL

RETRY_STATUS_CODES: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)


def get(
    url: str | URL,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    json: Any = None,
    verify: str | bool = True,
) -> requests.Response:
    """Make a GET, again if there is no answer or a gateway answers; returns the last response.

    *verify* is as requests has it: a file of certificates to trust.
    """
    return _ask("GET", url, headers, timeout, verify, params=params, json=json)


def post(
    url: str | URL,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    data: Any = None,
    is_json: bool = True,
    timeout: float | None = None,
    verify: str | bool = True,
    files: Any = None,
) -> requests.Response:
    """Make a POST of *data*, as JSON unless told otherwise; as `get`."""
    content = {"json" if is_json else "data": data}
    return _ask("POST", url, headers, timeout, verify, params=params, files=files, **content)


def put(
    url: str | URL,
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    json: Any = None,
    is_json: bool = True,
    verify: str | bool = True,
    timeout: float | None = None,
) -> requests.Response:
    """Make a PUT of *json*, or of *data*, which is JSON as well unless told otherwise."""
    content = {"json" if is_json or json is not None else "data": data if json is None else json}
    return _ask("PUT", url, headers, timeout, verify, **content)


def delete(
    url: str | URL,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    params: Mapping[str, Any] | None = None,
    verify: str | bool = True,
) -> requests.Response:
    """Make a DELETE; as `get`."""
    return _ask("DELETE", url, headers, timeout, verify, params=params)


def get_json_from_response(
    response: requests.Response,
    expected_status: list[int],
    scenario: str,
    expected_type: type[dict[str, Any]] | type[list[Any]] = dict,
    allow_parse_failure: bool = False,
) -> Any:
    """Return the JSON of a response whose status is as expected.

    What is no JSON is empty with *allow_parse_failure*, and null always.  Raises
    ObjectNotFoundError for a 404 that was not expected, ServerError for any other status and for
    content of another type.
    """
    try:
        content, is_json = response.json(), True
    except ValueError:
        content, is_json = None, False
    if response.status_code in expected_status and (is_json or allow_parse_failure):
        content = expected_type() if content is None else content
        if isinstance(content, expected_type):
            return content
        raise ServerError(f"{scenario}: the answer of {response.url} is not as expected")
    detail = content.get("detail") if isinstance(content, dict) else None
    words = detail or response.text or response.reason
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise ObjectNotFoundError("Object", scenario, str(words))
    raise ServerError(
        f"{scenario} failed: {response.url} answered with status {response.status_code}: {words}",
        response.status_code,
    )


def get_paginated(
    url: str | URL,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    json: Any = None,
    offset: int | None = None,
    count: int | None = None,
    verify: str | bool = True,
    **params: Any,
) -> Iterator[requests.Response]:
    """Yield the pages of a list, 100 entries each, until *count* entries or the end."""
    start = offset or 0
    end = None if count is None else start + count
    while end is None or start < end:
        asked = {**params, "start": start, "count": PAGE if end is None else min(PAGE, end - start)}
        response = get(url, headers, asked, timeout, json, verify)
        yield response
        start += PAGE
        content = response.json() if response.ok else None
        if not isinstance(content, dict) or not content.get("data"):
            return
        if start >= content.get("count", 0):
            return


def _ask(
    method: str,
    url: str | URL,
    headers: Mapping[str, str] | None,
    timeout: float | None,
    verify: str | bool,
    **arguments: Any,
) -> requests.Response:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = requests.request(
                method,
                str(url),
                headers=headers,
                timeout=timeout or TIMEOUT_S,
                verify=verify,
                **arguments,
            )
        except (requests.ConnectionError, requests.Timeout):
            if attempt == ATTEMPTS:
                raise
        else:
            if attempt == ATTEMPTS or response.status_code not in RETRY_STATUS_CODES:
                break
        time.sleep(WAIT_S * 2 ** (attempt - 1))
    return response
