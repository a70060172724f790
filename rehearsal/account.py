"""What a stack's settings expect in its AWS account: stand-ins for it in the emulated one.

A hosted zone, a certificate of the user's own and an application's artifact and secrets are not the stack's; in the
emulated account they are made before the program runs, unless they are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization

from rehearsal.paths import invocation
from rehearsal.resources import tls
from rehearsal.shell import RehearsalError
from topology.model import Application, Tls, Topology

Client = Callable[[str], Any]
"""From the name of an AWS service to a client of it."""

STAND_IN = "rehearsal"
"""What a secret of the application holds in the emulated account, until another value is put there."""

CERTIFICATE_HOURS = 90 * 24
"""As long as a certificate of Let's Encrypt: far from what alerts."""


def check(topology: Topology, artifact: Path | None, *, fresh: bool) -> None:
    """Raise RehearsalError where `artifact`, the file that stands for the application's, is missing or a wrong one.

    On a stack that runs already (not `fresh`) it may be in the emulated S3 from the last time: `provide` looks.
    """
    application = topology.application
    if application is None:
        if artifact:
            raise RehearsalError("--artifact: this stack has no application of its own (tripod:application)")
        return
    if urlsplit(application.artifact).scheme != "s3":
        raise RehearsalError(
            f"tripod:application.artifact is {application.artifact}, and the hosts of a rehearsal reach no internet: "
            "name an s3:// URL in this stack's file, and give the file with --artifact"
        )
    if artifact is None:
        if fresh:
            raise _missing(application)
        return
    found = hashlib.sha256(artifact.read_bytes()).hexdigest()
    if found != application.sha256:
        raise RehearsalError(
            f"{artifact} is not the artifact of this stack: its SHA-256 is {found}, but tripod:application.sha256 is "
            f"{application.sha256}"
        )


def provide(topology: Topology, client: Client, artifact: Path | None) -> str:
    """Make what is missing; return the site's certificate (PEM) where it is a provided one, else nothing.

    Raises RehearsalError where the application's artifact is not there and was not given.
    """
    if topology.application:
        _artifact(topology.application, client("s3"), topology.region, artifact)
        _secrets(topology.application, client("ssm"))
    if topology.domain and topology.hosted_zone_id:
        _zone(topology.domain, topology.hosted_zone_id, client("route53"))
    return _certificate(topology.tls, topology.domain, client("ssm")) if topology.tls.mode == "provided" else ""


def _missing(application: Application) -> RehearsalError:
    return RehearsalError(
        f"{application.artifact} is in no bucket of the emulated AWS: give the file with --artifact "
        f"({invocation()} up --stack NAME --artifact FILE, or make rehearse STACK=NAME ARTIFACT=FILE)"
    )


def _zone(domain: str, zone_id: str, route53: Any) -> None:
    try:
        route53.get_hosted_zone(Id=zone_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchHostedZone":
            raise
        # The zone's real name is only known to the account. See zone_patch.py for the reference.
        route53.create_hosted_zone(Name=domain, CallerReference=zone_id)


def _artifact(application: Application, s3: Any, region: str, file: Path | None) -> None:
    url = urlsplit(application.artifact)
    bucket, key = url.netloc, url.path.lstrip("/")
    if file is None:
        if not _exists(s3, bucket, key):
            raise _missing(application)
        return
    # us-east-1 is the one region that must not be named (S3's CreateBucket).
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.create_bucket(Bucket=bucket, **place)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyExists", "BucketAlreadyOwnedByYou"):
            raise
    s3.put_object(Bucket=bucket, Key=key, Body=file.read_bytes())


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True


def _secrets(application: Application, ssm: Any) -> None:
    for parameter in sorted(set(application.secrets.values())):
        try:
            ssm.put_parameter(Name=parameter, Value=STAND_IN, Type="SecureString")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterAlreadyExists":
                raise


def _certificate(settings: Tls, domain: str | None, ssm: Any) -> str:
    names = (settings.certificate_parameter, settings.key_parameter)
    found = ssm.get_parameters(Names=list(names), WithDecryption=True)["Parameters"]
    there = {parameter["Name"]: str(parameter["Value"]) for parameter in found}
    if len(there) < len(names):
        for name, value in zip(names, _self_signed(domain), strict=True):
            ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)
            there[str(name)] = value
    return there[str(settings.certificate_parameter)]


def _self_signed(domain: str | None) -> tuple[str, str]:
    """Certificate and key in PEM, for the domain and for this machine's way in."""
    key = tls.generate({"algorithm": "ECDSA", "ecdsaCurve": "P256"})
    inputs = {
        "subject": {"commonName": "Rehearsal"},
        "dnsNames": [name for name in (domain, "localhost") if name],
        "ipAddresses": ["127.0.0.1"],
        "validityPeriodHours": CERTIFICATE_HOURS,
        "isCaCertificate": True,
        "allowedUses": ["server_auth"],
    }
    private = tls.pem(key, serialization.PrivateFormat.PKCS8)
    made = tls.SelfSignedCert.certificate({**inputs, "privateKeyPem": private})
    return str(made["certPem"]), private
