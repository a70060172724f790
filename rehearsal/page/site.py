"""The page's own web server, on loopback only: the page, its data, and the buttons."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, render_template, request
from markupsafe import Markup
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from rehearsal.page.observer import Observer
from rehearsal.paths import invocation
from rehearsal.shell import RehearsalError
from topology.model import Topology
from topology.picture import draw

TOKEN_HEADER = "X-Tripod-Token"
# Nothing but what this server sends: no other site is asked, and none may frame the page or read from it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_log = logging.getLogger(__name__)

Act = Callable[[str, str], str]
"""(action, server) -> what was done, in words. Raises RehearsalError or ValueError."""


class QuietHandler(WSGIRequestHandler):
    """Requests at debug level: a page that is open asks each second."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        _log.debug("%s %s %s", self.requestline, code, size)


def application(topology: Callable[[], Topology], observer: Observer, act: Act, hosts: set[str]) -> Flask:
    """The WSGI application. `hosts` are the values of the Host header that it answers to (RFC 9110, 7.2).

    A browser can be led to loopback by another site in two ways: by a name that suddenly means 127.0.0.1 (it then
    says that name as Host, and is refused), and by a form or fetch of that site (it then lacks the token that only
    the page itself can read, and names a foreign Origin).
    """
    app = Flask(__name__)
    token = secrets.token_urlsafe(24)

    @app.before_request
    def only_loopback() -> Response | None:
        if request.host not in hosts:
            return Response("This page answers to 127.0.0.1 and localhost only.\n", HTTPStatus.FORBIDDEN)
        return None

    @app.after_request
    def closed(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/")
    def page() -> str:
        now = topology()
        # Made here from checked names, so it is markup and not text.
        picture = Markup(draw(now, styled=False))  # noqa: S704
        return render_template("page.html", topology=now, picture=picture, token=token, program=invocation())

    @app.get("/status.json")
    def status() -> Response:
        return jsonify(observer.document())

    @app.post("/actions")
    def actions() -> tuple[Response, HTTPStatus]:
        origin = request.headers.get("Origin")
        trusted = secrets.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), token.encode())
        if not trusted or (origin is not None and origin != f"http://{request.host}"):
            return jsonify(error="This did not come from the page: load it anew."), HTTPStatus.FORBIDDEN
        asked: Any = request.get_json(silent=True)
        if not isinstance(asked, dict):
            return jsonify(error='Send {"action": ..., "server": ...} as JSON.'), HTTPStatus.BAD_REQUEST
        try:
            done = act(str(asked.get("action")), str(asked.get("server")))
        except (RehearsalError, ValueError) as error:
            return jsonify(error=str(error)), HTTPStatus.BAD_REQUEST
        return jsonify(done=done), HTTPStatus.OK

    return app


class Site:
    """The application on a listening socket of loopback."""

    def __init__(self, listener: socket.socket, topology: Callable[[], Topology], observer: Observer, act: Act) -> None:
        host, port = listener.getsockname()[:2]
        self._observer = observer
        app = application(topology, observer, act, {f"127.0.0.1:{port}", f"localhost:{port}"})
        self._server: BaseWSGIServer = make_server(
            host, port, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        listener.detach()
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._observer.close()
