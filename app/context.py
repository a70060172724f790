"""What the application gives to the code that answers a request."""

from __future__ import annotations

from typing import cast

from flask import current_app

from .entries import Entries


def entries() -> Entries:
    """The entries of this application."""
    return cast(Entries, current_app.extensions["entries"])


def served_by() -> str:
    """The name of this server."""
    return str(current_app.config["SERVER"])
