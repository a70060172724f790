"""Puts the application together."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from . import headers, logs
from .api import api
from .context import served_by
from .entries import Entries
from .errors import GuestbookError
from .pages import pages
from .settings import Settings

# 500 characters are at most 2,000 bytes, three times that when percent-encoded in a form.
LARGEST_BODY = 16 * 1024
log = logging.getLogger("tripod.app")


def create_application(settings: Settings, entries: Entries | None = None) -> Flask:
    """The WSGI application; `entries` replaces the database in tests."""
    application = Flask(__name__)
    application.config.update(SERVER=settings.server, STACK=settings.stack, MAX_CONTENT_LENGTH=LARGEST_BODY)
    application.json.sort_keys = False  # type: ignore[attr-defined]
    application.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    application.extensions["entries"] = entries or Entries.connect(settings)
    # Only the load balancers reach this port; the last X-Forwarded-For is theirs.
    application.wsgi_app = ProxyFix(application.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    application.register_blueprint(api)
    application.register_blueprint(pages)
    # after_request functions run last first: the log line is written when the headers are set.
    logs.install(application)
    headers.install(application)
    application.register_error_handler(GuestbookError, _refuse)
    application.register_error_handler(HTTPException, _http_error)
    application.register_error_handler(Exception, _defect)
    return application


def _refuse(error: GuestbookError) -> Response:
    return _answer(error.status, error.code, str(error), error.retry_after)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    code = error.name.lower().replace(" ", "_")
    answer = _answer(status, code, error.description or error.name)
    for name, value in error.get_headers():
        if name in ("Allow", "Location", "Retry-After"):
            answer.headers[name] = value
    if error.response is not None and "Location" in error.response.headers:
        answer.headers["Location"] = error.response.headers["Location"]
    return answer


def _defect(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _answer(500, "internal", "The application has a defect; its log says more.")


def _answer(status: int, code: str, message: str, retry_after: int | None = None) -> Response:
    if request.path.startswith("/api/") or request.path == "/healthz":
        answer = jsonify(error={"code": code, "message": message}, served_by=served_by())
    else:
        answer = make_response(render_template("error.html", status=status, message=message))
    answer.status_code = status
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer
