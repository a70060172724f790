# ruff: noqa: N999 - the name is the one that gunicorn itself looks for
"""gunicorn's configuration: `gunicorn --config /opt/tripod/app/gunicorn.conf.py`.

It names the application itself, and reads TRIPOD_LISTEN and TRIPOD_APP_THREADS through the
application's own settings, so that a faulty environment stops the start with all its faults.
"""

import os
import sys
from pathlib import Path

chdir = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, chdir)

_loaded = set(sys.modules)

from app.linger import linger  # noqa: E402
from app.logs import configuration  # noqa: E402
from app.settings import Settings  # noqa: E402

_settings = Settings.from_environment(os.environ)

# Workers inherit the master's modules: without this, SIGHUP would mix these with newer ones.
for _name in set(sys.modules) - _loaded:
    if _name.split(".")[0] == "app":
        del sys.modules[_name]

wsgi_app = "app.wsgi:application"
bind = [str(_settings.listen)]
# One process: the threads wait for the database nearly all the time, and share its pools.
workers = 1
worker_class = "gthread"
threads = _settings.threads
# Longer than the longest request (8 s: a form that finds neither a writer nor a reader).
graceful_timeout = 10
timeout = 30
# One request a connection: a restart then meets no idle connection that HAProxy is about to use.
# What is refused before it was accepted, HAProxy sends to another server.
keepalive = 0
post_request = linger
# In memory, so that a slow disk cannot look like a hung worker.
_memory = "/dev/shm"  # noqa: S108
worker_tmp_dir = _memory if os.access(_memory, os.W_OK) else None
# The application writes its own access log; both logs are JSON on stdout.
accesslog = None
logconfig_dict = configuration()
# From gunicorn 25.1: no control socket in a home directory that the service does not have.
control_socket_disable = True
