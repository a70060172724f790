"""What must not be said of a stack's own application."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from topology import ports
from topology.names import PARAMETER_NAME, PROJECT
from topology.problems import Problem
from topology.settings import ApplicationSettings, Settings

# Ports of the servers that an application must leave alone.
TAKEN = {
    value: name.lower().replace("_", " ")
    for name, value in vars(ports).items()
    if isinstance(value, int) and name not in ("APP", "VRRP") and not name.startswith("_")
}

# The role of a server names each twice, and has room for 10,240 characters (IAM user guide, "IAM and AWS STS quotas").
MOST_SECRETS = 6
LONGEST_PARAMETER = 64

# What would have the shell run one command and forget the rest.
SEVERAL = {"&&", "||", ";", "|", "&"}


def check_application(settings: Settings) -> Iterator[Problem]:
    """Every rule for the `application` object."""
    app = settings.application
    if app is None:
        return
    if not re.match(r"^(s3|https)://[^\s/]+/\S+\.(tar\.gz|tgz)$", app.artifact):
        mend = "Write the s3:// or https:// address of a .tar.gz"
        yield Problem("application.artifact", f"'{app.artifact}' cannot be fetched", mend)
    if not re.match(r"^[0-9a-f]{64}$", app.sha256):
        yield Problem("application.sha256", "this is not a SHA-256 digest", "Write the artifact's, 64 hex digits")
    yield from _start(app.start)
    if not 1024 <= app.port <= 65535:
        yield Problem("application.port", f"{app.port} is out of range", "Use 1024 to 65535: it is not run as root")
    elif app.port in TAKEN:
        found = f"{app.port} belongs to the server itself ({TAKEN[app.port]})"
        yield Problem("application.port", found, f"Use another, such as {ports.APP}")
    if not re.match(r"^/[!-~]*$", app.health):
        yield Problem("application.health", f"'{app.health}' is not a path", "Write one such as /healthz")
    yield from _secrets(app)


def _start(command: str) -> Iterator[Problem]:
    key = "application.start"
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        yield Problem(key, f"the quotes in '{command}' are not closed", "Close them")
        return
    if not words or "\n" in command:
        yield Problem(key, "the start command is not one line", "Write the command that serves")
        return
    if re.match(r"^[A-Za-z_]\w*=", words[0]):
        yield Problem(key, f"'{words[0]}' is no program", f"Write 'env {words[0]}' instead")
    several = next((word for word in words if word in SEVERAL), None)
    if several:
        found = f"'{several}' makes it more than one command"
        yield Problem(key, found, "Write one command; put more than one into a script of the archive")


def _secrets(app: ApplicationSettings) -> Iterator[Problem]:
    if len(app.secrets) > MOST_SECRETS:
        found = f"{len(app.secrets)} are too many for the policy of a server's role"
        yield Problem("application.secrets", found, f"Use at most {MOST_SECRETS}; a secret may hold several values")
    for name, parameter in app.secrets.items():
        key = f"application.secrets.{name}"
        if not re.match(r"^[A-Z][A-Z0-9_]{0,63}$", name) or name.startswith(f"{PROJECT.upper()}_"):
            mend = f"Use A-Z, 0-9 and _, such as MAIL_PASSWORD, that does not begin with {PROJECT.upper()}_"
            yield Problem(key, f"'{name}' cannot begin the name of a variable", mend)
        if not PARAMETER_NAME.match(parameter):
            found = f"'{parameter}' is not the full name of an SSM parameter"
            yield Problem(key, found, "Write a path such as /example/mail-password")
        elif len(parameter) > LONGEST_PARAMETER:
            yield Problem(key, f"the name has {len(parameter)} characters", f"Use at most {LONGEST_PARAMETER}")
        elif parameter.startswith(f"/{PROJECT}/"):
            yield Problem(key, f"'{parameter}' is Tripod's own", "Put the secret under another path")
