"""Checks of what clients send; each refusal says what would have been accepted."""

from __future__ import annotations

import re
import secrets

from .errors import InvalidInputError

TEXT_LIMIT = 500
KEY_LIMIT = 64
LIST_LIMIT = 1000
_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{KEY_LIMIT}}}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def valid_text(value: object) -> str:
    """1 to 500 characters (code points), not only white space; line ends become `\\n`."""
    if not isinstance(value, str):
        raise InvalidInputError("text must be a string.")
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise InvalidInputError("text must not be empty.")
    if len(text) > TEXT_LIMIT:
        raise InvalidInputError(f"text must have at most {TEXT_LIMIT} characters; it has {len(text)}.")
    if _CONTROL.search(text) or not _encodable(text):
        raise InvalidInputError("text must not contain control characters or lone surrogates.")
    return text


def valid_key(value: object) -> str:
    """1 to 64 characters of A-Z a-z 0-9 _ -; upper and lower case differ."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidInputError(f"key must be 1 to {KEY_LIMIT} characters of A-Z, a-z, 0-9, _ and -.")
    return value


def valid_number(name: str, value: str, lowest: int, highest: int) -> int:
    """A decimal number within the bounds, both included."""
    if not re.fullmatch(r"[0-9]{1,19}", value) or not lowest <= int(value) <= highest:
        raise InvalidInputError(f"{name} must be a number from {lowest} to {highest}.")
    return int(value)


def new_key() -> str:
    """A key that nobody else has."""
    return secrets.token_urlsafe(18)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
