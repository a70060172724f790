"""The JSON interface and the health check. README.md of this folder describes it."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, g, jsonify, request, url_for

from .context import entries, served_by
from .entries import LARGEST_ID, Read
from .errors import InvalidInputError, UnsupportedContentError
from .validation import LIST_LIMIT, valid_key, valid_number, valid_text

api = Blueprint("api", __name__)
DEFAULT_LIMIT = 100


@api.post("/api/entries")
def add_entry() -> tuple[Response, int]:
    """201 with a new entry, 200 with the one that the key already has; both only after the commit."""
    if not request.is_json:
        raise UnsupportedContentError("Send the entry as application/json.")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise InvalidInputError('The body must be a JSON object: {"text": "...", "key": "..."}.')
    if unknown := sorted(set(body) - {"text", "key"}):
        raise InvalidInputError(f"Unknown fields: {', '.join(unknown)}.")
    key = valid_key(body.get("key"))
    written = entries().add(key, valid_text(body.get("text")))
    answer = jsonify(written.entry.as_json() | {"served_by": served_by()})
    answer.headers["Location"] = url_for("api.get_entry", key=key)
    return answer, 201 if written.created else 200


@api.get("/api/entries/<key>")
def get_entry(key: str) -> Response:
    """One entry, and the server that it was read from; 404 only when the primary says so too."""
    found = _note(entries().get(valid_key(key)))
    names = {"read_from": found.read_from, "served_by": served_by()}
    return jsonify(found.entries[0].as_json() | names)


@api.get("/api/entries")
def list_entries() -> Response:
    """Entries with an id above `after`, at most `limit`, in ascending order."""
    after = valid_number("after", request.args.get("after", "0"), 0, LARGEST_ID)
    limit = valid_number("limit", request.args.get("limit", str(DEFAULT_LIMIT)), 1, LIST_LIMIT)
    found = _note(entries().after(after, limit))
    return jsonify(
        entries=[entry.as_json() for entry in found.entries],
        read_from=found.read_from,
        served_by=served_by(),
    )


@api.get("/healthz")
def health() -> Response:
    """200 only when a database server could be read from just now; otherwise 503 with the reason."""
    read_from = entries().probe()
    return jsonify(status="ok", read_from=read_from, served_by=served_by(), stack=current_app.config["STACK"])


def _note(found: Read) -> Read:
    g.read_from = found.read_from
    return found
