"""How the commands talk to a stack's supervisor: one JSON line each way over a Unix socket in the state directory."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from rehearsal.shell import RehearsalError

Answer = dict[str, Any]
Handler = Callable[[Mapping[str, Any]], Answer]

_log = logging.getLogger(__name__)


class NotRunningError(RehearsalError):
    """The stack's supervisor does not answer."""


def ask(path: Path, request: Mapping[str, Any], timeout: float = 30) -> Answer:
    """Send one request and return its answer. Raises NotRunningError, or RehearsalError with what went wrong there."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except (FileNotFoundError, ConnectionError) as error:
        raise NotRunningError(f"no rehearsal runs here: {error}") from error
    except TimeoutError as error:
        raise RehearsalError(f"the supervisor did not answer '{request.get('op')}' within {timeout:.0f} s") from error
    if not line:
        raise NotRunningError("the supervisor ended while it was asked")
    answer = cast("Answer", json.loads(line))
    if "error" in answer:
        raise RehearsalError(answer["error"])
    return answer


class Control:
    """Answers requests: `handlers` by the request's `op`."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._server = _Server(str(path), handlers)
        path.chmod(0o600)
        self._thread = threading.Thread(target=self._server.serve_forever, name="control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        super().__init__(path, _Connection)


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        if not line:
            return
        request = json.loads(line)
        handler = self.server.handlers.get(request.get("op"))
        try:
            answer = handler(request) if handler else {"error": f"unknown request {request.get('op')!r}"}
        except (RehearsalError, ValueError, OSError) as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001  (told to the one who asked, and to the log)
            _log.exception("%s failed", request.get("op"))
            answer = {"error": f"{type(error).__name__}: {error} (the supervisor's log says more)"}
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(json.dumps(answer).encode() + b"\n")
