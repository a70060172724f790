"""Response headers: security on everything, caching only for files that carry their digest."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, current_app, request, url_for

from .context import served_by

SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
YEAR = 31_536_000


@lru_cache(maxsize=32)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def asset(name: str) -> str:
    """The address of a static file, changed whenever its content is."""
    return url_for("static", filename=name, v=_digest(Path(str(current_app.static_folder)) / name))


def _decorate(response: Response) -> Response:
    response.headers.update(SECURITY)
    response.headers["X-Served-By"] = served_by()
    if request.endpoint == "static" and response.status_code in (200, 304):
        name = (request.view_args or {}).get("filename", "")
        # During a roll-out the other server may have another version under this name: only the
        # content that was asked for may be kept.
        current = request.args.get("v") == _digest(Path(str(current_app.static_folder)) / name)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable" if current else "no-cache"
    elif request.endpoint == "pages.favicon":
        response.headers["Cache-Control"] = "public, max-age=86400"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


def install(application: Flask) -> None:
    """Add the headers to every response, and `asset()` to the templates."""
    application.after_request(_decorate)
    application.add_template_global(asset, "asset")
