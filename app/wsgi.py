"""What gunicorn runs: `app.wsgi:application`, configured by the environment."""

from __future__ import annotations

import os

from .application import create_application
from .settings import Settings

application = create_application(Settings.from_environment(os.environ))
