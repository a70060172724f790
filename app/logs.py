"""Logs as one JSON object a line on standard output; never a body, a query or a password."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, request

log = logging.getLogger("tripod.access")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9:._-]{1,128}", re.ASCII)


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message and whatever `extra` adds."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configuration(level: str = "INFO") -> dict[str, object]:
    """For `logging.config.dictConfig`: everything, gunicorn's own lines included, to stdout."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stdout"]},
        # gunicorn writes an access log of its own as soon as logging is configured: keep it silent.
        # Its defaults name handlers of its own, which these replace.
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def _begin() -> None:
    g.started = time.monotonic()


def _report(response: Response) -> Response:
    # A check every second is not worth a line, unless it fails.
    if request.path == "/healthz" and response.status_code == 200:
        return response
    request_id = request.headers.get("X-Request-ID", "")
    fields = {
        "method": request.method,
        "path": request.path[:200],
        "status": response.status_code,
        "duration_ms": round((time.monotonic() - g.get("started", time.monotonic())) * 1000, 1),
        "client": request.remote_addr,
        "request_id": request_id if _REQUEST_ID.fullmatch(request_id) else None,
        "read_from": g.get("read_from"),
    }
    log.info("request", extra={name: value for name, value in fields.items() if value is not None})
    return response


def install(application: Flask) -> None:
    """Log each request when its response is ready."""
    application.before_request(_begin)
    application.after_request(_report)
