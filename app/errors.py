"""What can go wrong, in the words that clients see.

Each has a stable `code`, an HTTP `status` and, where repeating can help, `retry_after` in seconds.
"""

from __future__ import annotations


class GuestbookError(Exception):
    """Base of everything that is answered as `{"error": {"code", "message"}}`."""

    status = 500
    code = "internal"
    retry_after: int | None = None


class InvalidInputError(GuestbookError):
    """The request is at fault; repeating it cannot help."""

    status = 400
    code = "invalid_input"


class UnsupportedContentError(InvalidInputError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_content"


class EntryNotFoundError(GuestbookError):
    """Neither a reader nor the writer has the entry."""

    status = 404
    code = "not_found"


class UnavailableError(GuestbookError):
    """The database cannot be used now; nothing was changed."""

    status = 503
    code = "database_unavailable"
    retry_after = 2


class OverloadedError(UnavailableError):
    """As many requests as may do so are already waiting for the database."""

    code = "overloaded"
    retry_after = 1


class OutcomeUnknownError(UnavailableError):
    """The connection was lost while the commit was under way: the entry may be there or not.

    Repeating with the same key is safe and settles it.
    """

    code = "outcome_unknown"
