"""The page for people: it works without JavaScript."""

from __future__ import annotations

import zlib

from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from .context import entries, served_by
from .entries import LARGEST_ID, Entry, Read
from .errors import GuestbookError, InvalidInputError, OutcomeUnknownError, UnavailableError
from .validation import TEXT_LIMIT, new_key, valid_key, valid_number, valid_text

pages = Blueprint("pages", __name__)
PAGE_LENGTH = 30
HUES = 6


@pages.app_template_filter("hue")
def hue(server: str) -> int:
    """A number from 0 to 5 that stands for a server: neighbours `server-1`, `server-2` differ."""
    digits = "".join(filter(str.isdigit, server))
    return (int(digits) if digits else zlib.crc32(server.encode())) % HUES


@pages.get("/")
def guestbook() -> Response:
    """The newest entries, or those before an id; `posted` is the key of the visitor's own entry."""
    before = valid_number("before", request.args.get("before", str(LARGEST_ID)), 1, LARGEST_ID)
    return _page(before=before, posted=request.args.get("posted"))


@pages.post("/entries")
def sign() -> BaseResponse:
    """Store the form's entry and redirect to the page, so that a reload posts nothing again."""
    text = request.form.get("text", "").strip()
    key = request.form.get("key", "")
    try:
        written = entries().add(valid_key(key), valid_text(text))
    except OutcomeUnknownError as error:
        message = "It is not known whether your entry was stored. Send it again: it will not appear twice."
        return _page(text=text, key=key, error=error, message=message)
    except UnavailableError as error:
        return _page(text=text, key=key, error=error, message=f"{error} Please send it again in a moment.")
    except InvalidInputError as error:
        return _page(text=text, error=error, message=str(error))
    return redirect(url_for("pages.guestbook", posted=written.entry.key), 303)


@pages.get("/favicon.ico")
def favicon() -> BaseResponse:
    """The icon, for browsers that ask without being told where it is."""
    return current_app.send_static_file("icon.svg")


def _page(
    *,
    before: int = LARGEST_ID,
    posted: str | None = None,
    text: str = "",
    key: str | None = None,
    error: GuestbookError | None = None,
    message: str | None = None,
) -> Response:
    """The page as it can be shown now: without a database it still says what is the matter."""
    read: Read | None = None
    mine = None
    passing = False  # whether the message is over as soon as the page can be read again
    try:
        read = entries().latest(PAGE_LENGTH + 1, before)
        g.read_from = read.read_from
        mine = _own_entry(posted)
    except UnavailableError as unreadable:
        error = error or unreadable
        if message is None:
            message, passing = f"{unreadable} Reload the page in a moment.", True
    shown = read.entries[:PAGE_LENGTH] if read else ()
    if mine and before == LARGEST_ID and (not shown or mine.id > shown[0].id):
        shown = (mine, *shown)  # the replica that was read does not have it yet
    html = render_template(
        "guestbook.html",
        entries=shown,
        older=shown[-1].id if read and len(read.entries) > PAGE_LENGTH else None,
        newest=before == LARGEST_ID,
        read_from=read.read_from if read else None,
        wrote=mine.written_by if mine else (shown[0].written_by if shown else None),
        mine=mine,
        served_by=served_by(),
        stack=current_app.config["STACK"],
        text=text,
        key=key or new_key(),
        text_limit=TEXT_LIMIT,
        message=message,
        passing=passing,
    )
    response = make_response(html, error.status if error else 200)
    if error and error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _own_entry(posted: str | None) -> Entry | None:
    """The entry that was just posted, which a lagging replica's list may not show yet."""
    if posted is None:
        return None
    try:
        return entries().get(valid_key(posted)).entries[0]
    except UnavailableError:
        raise
    except GuestbookError:
        return None  # an old or invented address; the page is complete without it
