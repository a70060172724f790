"""One TLS connection to a MySQL server, with every wait bounded.

This is the only module that knows PyMySQL. Its errors become `ConnectionLostError`,
`DuplicateKeyError` or `StatementFailedError`.
"""

from __future__ import annotations

import select
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pymysql
from pymysql.constants import CLIENT, CR, ER

from .deadline import Deadline
from .settings import Endpoint

# The shortest wait worth starting a statement with.
MINIMUM_WAIT = 0.05
# A TCP connection through HAProxy stays with one server, so its name is asked for only once.
# report_host is the server's name in the topology; hostname is the fallback of a bare mysqld.
SERVER_NAME = "SELECT COALESCE(NULLIF(@@GLOBAL.report_host, ''), @@GLOBAL.hostname)"

Row = tuple[Any, ...]


class DatabaseError(Exception):
    """A statement or a connection failed; the message is the server's, without secrets."""


class ConnectionLostError(DatabaseError):
    """No connection, or it broke or timed out: what the last statement did is unknown."""


class StatementFailedError(DatabaseError):
    """The server refused the statement, read-only servers included: it had no effect."""


class DuplicateKeyError(StatementFailedError):
    """A unique key exists already (ER_DUP_ENTRY)."""


class Connection(Protocol):
    """What the rest of the application needs of a connection."""

    @property
    def server(self) -> str: ...

    def bound(self, deadline: Deadline) -> None:
        """Let no later statement wait beyond `deadline`."""

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]: ...

    def insert(self, statement: str, parameters: Sequence[object]) -> int:
        """Run an INSERT and return its AUTO_INCREMENT value."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def stale(self) -> bool:
        """Whether the server hung up, or spoke unasked, while the connection was idle."""

    def close(self) -> None: ...


class _TlsConnection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection that refuses a server without TLS before any credential is sent.

    PyMySQL before 1.2 falls back to clear text silently, whatever `ssl` says.
    """

    def _get_server_information(self) -> None:
        super()._get_server_information()
        if not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "the server offers no TLS")

    def wait_at_most(self, seconds: float) -> None:
        self._read_timeout = self._write_timeout = seconds

    def abandon(self) -> None:
        # No COM_QUIT: it would wait on a server that is gone.
        self._force_close()

    def readable(self) -> bool:
        return self._sock is None or bool(select.select([self._sock], [], [], 0)[0])


class MysqlConnection:
    """A `Connection` over PyMySQL."""

    def __init__(self, connection: _TlsConnection) -> None:
        self._connection = connection
        self._server = str(self.query(SERVER_NAME)[0][0])

    @property
    def server(self) -> str:
        return self._server

    def bound(self, deadline: Deadline) -> None:
        self._connection.wait_at_most(max(MINIMUM_WAIT, deadline.remaining()))

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        with _translated(), self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def insert(self, statement: str, parameters: Sequence[object]) -> int:
        with _translated(), self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.lastrowid)

    def commit(self) -> None:
        with _translated():
            self._connection.commit()

    def rollback(self) -> None:
        with _translated():
            self._connection.rollback()

    def stale(self) -> bool:
        return self._connection.readable()

    def close(self) -> None:
        self._connection.abandon()


def open_connection(endpoint: Endpoint, deadline: Deadline, *, autocommit: bool) -> MysqlConnection:
    """Connect, prove the server's certificate and log in before `deadline`, or ConnectionLostError.

    Readers use autocommit, so that each SELECT sees what was applied last. Raises
    StatementFailedError when the server answers but refuses (account unknown, too many connections).
    """
    seconds = max(MINIMUM_WAIT, deadline.remaining())
    try:
        password = endpoint.password_file.read_text(encoding="utf-8").rstrip("\n")
        context = _tls_context(endpoint)
    except OSError as error:
        raise ConnectionLostError(f"cannot read {error.filename or endpoint.ca_file}: {error}") from error
    with _translated():
        connection = _TlsConnection(
            host=endpoint.address.host,
            port=endpoint.address.port,
            user=endpoint.user,
            password=password,
            database=endpoint.database,
            charset="utf8mb4",
            autocommit=autocommit,
            init_command="SET SESSION time_zone = '+00:00'",
            ssl=context,
            connect_timeout=seconds,
            read_timeout=seconds,
            write_timeout=seconds,
        )
    try:
        return MysqlConnection(connection)
    except DatabaseError:
        connection.abandon()
        raise


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    # Not create_default_context: from Python 3.13 it sets VERIFY_X509_STRICT, which refuses a CA
    # without a key usage extension, and it would trust the public CAs if ours were missing.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(endpoint.ca_file))
    return context


@contextmanager
def _translated() -> Iterator[None]:
    """Turn PyMySQL's and the socket's errors into this module's."""
    try:
        yield
    except pymysql.err.MySQLError as error:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        message = f"{type(error).__name__}{error.args}"
        if number == ER.DUP_ENTRY:
            raise DuplicateKeyError(message) from error
        # Client errors (CR_...) are 2000 to 2999; 0 is PyMySQL's own, for a closed connection.
        if number == 0 or number in range(2000, 3000):
            raise ConnectionLostError(message) from error
        raise StatementFailedError(message) from error
    except UnicodeError:
        raise
    except (OSError, ValueError) as error:
        # ValueError: PyMySQL reads from a file object that another failure closed.
        raise ConnectionLostError(f"{type(error).__name__}: {error}") from error
