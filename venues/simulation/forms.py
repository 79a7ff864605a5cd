"""
Requests read as strictly as a typed web framework reads them (the wording is that of poem-openapi, as recorded), and
replies in JSON and plain text. Whatever a client sends, reading it ends in a value or in :class:`Answer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl

from venues.simulation.app import Reply, Request
from venues.simulation.desk import json_bytes

_DECIMAL: Final = re.compile(r"-?[0-9]{1,28}(?:\.[0-9]{1,28})?", re.ASCII)


class Answer(Exception):
    """Stop handling the request and send ``reply``."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    kind = {"content-type": "application/json; charset=utf-8"}
    return Reply(status, json_bytes(value), kind | dict(headers or {}))


def text_reply(text: str, status: int = 200) -> Reply:
    return Reply(status, text.encode(), {"content-type": "text/plain; charset=utf-8"})


class RawNumber(str):
    """A JSON number that is no integer, as it was written: a signature may cover its text."""


def read_json(text: str | bytes) -> Any:
    """
    JSON with non-integers kept as text.

    Raises:
        ValueError: not JSON, not UTF-8, or nested beyond reason.
    """
    try:
        return json.loads(text, parse_float=RawNumber, parse_constant=RawNumber)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_query(query: str) -> dict[str, Any]:
    """A query string as a mapping; of a repeated key the last value counts."""
    return dict(parse_qsl(query, keep_blank_values=True))


def read_values(request: Request, *, many: bool = False) -> list[Any]:
    """
    What a request carries: the query of a GET, else the JSON body. ``many``: the body is an array, one item each.

    Raises:
        Answer: the body is no JSON.
    """
    if request.method == "GET":
        return [read_query(request.query)]
    try:
        value = read_json(request.body)
    except ValueError:
        raise Answer(text_reply("parse request payload error: invalid JSON", 400)) from None
    if many and not isinstance(value, list):
        raise Answer(text_reply("parse request payload error: expected an array", 400))
    return value if many else [value]


class Fields:
    """
    The parameters of one request. ``payload`` is the name of the body's type; "" is a query string, where every value
    is text. Every method raises :class:`Answer` (text/plain, 400) for a value of the wrong kind.
    """

    def __init__(self, values: Any, payload: str) -> None:
        self._payload = payload
        self.values: dict[str, Any] = values if isinstance(values, dict) else {}
        if not isinstance(values, dict):
            self.fail("", payload, 'Expected input type "object".')

    def fail(self, name: str, kind: str, why: str) -> NoReturn:
        """Refuse the value of ``name`` for not being a ``kind``."""
        text = f'failed to parse "{kind}": {why}'
        if not self._payload:
            raise Answer(text_reply(f"failed to parse parameter `{name}`: {text}", 400))
        raise Answer(text_reply(f'parse request payload error: {text}(occurred while parsing "{self._payload}")', 400))

    def text(self, name: str, kind: str = "string") -> str | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or isinstance(value, RawNumber):
            self.fail(name, kind, f'Expected input type "{kind}".')
        return value

    def need(self, name: str, kind: str) -> str:
        value = self.text(name, kind)
        if value is None and not self._payload:
            missing = f'failed to parse parameter `{name}`: Type "{kind}" expects an input value.'
            raise Answer(text_reply(missing, 400))
        if value is None:
            self.fail(name, kind, f'Type "{kind}" expects an input value.')
        return value

    def choice(self, name: str, kind: str, options: Collection[str], *, required: bool = False) -> str | None:
        value = self.need(name, kind) if required else self.text(name, kind)
        if value is not None and value not in options:
            self.fail(name, kind, "Expect a valid enumeration value.")
        return value

    def decimal(self, name: str) -> str | None:
        """A plain decimal number of at most 28 digits before and after the point, as text: no exponent, no NaN."""
        value = self.text(name, "string_decimal")
        if value is not None and not _DECIMAL.fullmatch(value):
            self.fail(name, "string_decimal", "Expected a decimal number.")
        return value

    def flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        if not self._payload and isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if value is not None and not isinstance(value, bool):
            self.fail(name, "boolean", 'Expected input type "boolean".')
        return value

    def whole(self, name: str, kind: str, high: int) -> int | None:
        """A number 0..high, also where it comes as digits in a string."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if type(value) is not int or not 0 <= value <= high:
            self.fail(name, kind, f'Expected input type "{kind}".')
        return int(value)


def page(rows: Sequence[Any], offset: int, limit: int) -> tuple[list[Any], dict[str, str]]:
    """One page of ``rows`` and the headers that say which."""
    limit = max(1, limit)
    headers = {
        "x-page-count": str(-(-len(rows) // limit)),
        "x-current-page": str(offset // limit + 1),
        "x-page-size": str(limit),
        "x-total": str(len(rows)),
    }
    return list(rows[offset : offset + limit]), headers
