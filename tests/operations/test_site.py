"""The site check against a real TLS server: chain, name, dates, PROXY protocol."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from operations.errors import OperationError
from operations.remote.site_check import PROXY_LOCAL, UNKNOWN_ISSUER_NOTE, check
from operations.site import host_of, outside_problem
from tests.operations.conftest import REGION
from topology.names import ca_certificate_parameter

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority as plain as they come: without key identifiers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._sign(self.name, self.key, NOW + DAY, x509.BasicConstraints(ca=True, path_length=None))
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, key, until, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 10 * DAY)
            .not_valid_after(until)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, until: datetime.datetime = NOW + DAY) -> Path:
        """Certificate and key in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, until, x509.SubjectAlternativeName([x509.DNSName(name)]))
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return file


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def serving(
    certificate: Path, *, status: int = 200, proxy: bool = False
) -> Iterator[tuple[tuple[str, int], list[str]]]:
    """A web server on loopback; with `proxy` it hangs up on whoever does not speak the PROXY protocol first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)
    requests: list[str] = []
    stopping = threading.Event()

    def answer(raw: socket.socket) -> None:
        if proxy and raw.recv(len(PROXY_LOCAL), socket.MSG_WAITALL) != PROXY_LOCAL:
            return
        with context.wrap_socket(raw, server_side=True) as tls:
            requests.append(tls.recv(65536).decode())
            tls.sendall(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    def serve() -> None:
        while not stopping.is_set():
            raw, _ = listener.accept()
            with raw:
                raw.settimeout(5)
                try:
                    answer(raw)
                except OSError:
                    continue  # the client refused the certificate, which is what some tests are about

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname(), requests
    finally:
        stopping.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


def test_a_good_certificate(authority):
    with serving(authority.issue("www.example.org")) as (target, requests):
        answer = check(target, "www.example.org", "/page", authority.file)
    assert answer == {"status": 200, "error": None, "note": None}
    assert requests[0].startswith("GET /page HTTP/1.1\r\nHost: www.example.org\r\n")


def test_any_name_when_none_is_asked_for(authority):
    with serving(authority.issue("www.example.org"), status=503) as (target, _):
        assert check(target, "", "/", authority.file) == {"status": 503, "error": None, "note": None}


def test_the_wrong_name(authority):
    with serving(authority.issue("other.example.org")) as (target, requests):
        answer = check(target, "www.example.org", "/", authority.file)
    assert answer["status"] is None
    assert "www.example.org" in str(answer["error"])
    assert requests == []


@pytest.mark.parametrize("host", ["", "www.example.org"])
def test_an_expired_certificate(authority, host):
    with serving(authority.issue("www.example.org", NOW - DAY)) as (target, _):
        answer = check(target, host, "/", authority.file)
    assert answer["status"] is None
    assert "expired" in str(answer["error"])


def test_an_authority_that_only_visitors_know_is_noted(authority, tmp_path):
    with serving(authority.issue("www.example.org")) as (target, _):
        answer = check(target, "www.example.org", "/", tmp_path / "absent.pem")
    assert answer == {"status": 200, "error": None, "note": UNKNOWN_ISSUER_NOTE}


def test_behind_a_network_load_balancer(authority):
    with serving(authority.issue("www.example.org"), proxy=True) as (target, requests):
        assert check(target, "www.example.org", "/", authority.file)["status"] == 200
    assert len(requests) == 1


def test_nobody_there(authority):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()
    answer = check(target, "", "/", authority.file)
    assert answer["status"] is None
    assert "refused" in str(answer["error"]).lower()


@pytest.mark.parametrize("url,host", [(None, ""), ("https://www.example.org/", "www.example.org")])
def test_host_of(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize("url", ["http://www.example.org/", "www.example.org", "https://", "file:///etc/passwd"])
def test_no_https_url(url):
    with pytest.raises(OperationError, match="https://"):
        host_of(url)


@pytest.fixture
def strict(monkeypatch):
    """Contexts as Python 3.13 and later make them, whatever runs this."""
    default = ssl.create_default_context

    def create():
        context = default()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("status,problem", [(200, None), (404, None), (503, "the site answers with status 503")])
def test_from_here_with_the_stack_s_own_authority(aws, authority, status, problem):
    boto3.client("ssm", region_name=REGION).put_parameter(
        Name=ca_certificate_parameter("dev"), Value=authority.file.read_text(), Type="String"
    )
    with serving(authority.issue("localhost"), status=status) as (target, requests):
        assert outside_problem(aws, "dev", f"https://localhost:{target[1]}/x") == problem
    assert requests[0].startswith("GET /x ")


def test_from_here_without_that_authority(aws, authority):
    with serving(authority.issue("localhost")) as (target, _):
        problem = outside_problem(aws, "dev", f"https://localhost:{target[1]}/")
    assert problem is not None
    assert "certificate verify failed" in problem
