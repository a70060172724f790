"""Bring a bundle to the server: objects from S3, secrets from SSM, each verified, into a staging tree.

Nothing outside the staging tree is written here. The tree mirrors the server's own: a file that will be
/etc/haproxy/haproxy.cfg is staged as STAGING/etc/haproxy/haproxy.cfg.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import EXIT_BUNDLE, EXIT_SECRET, StepError
from .identity import Identity
from .manifest import FileEntry, Manifest, parse

# SSM GetParameters takes at most ten names (API reference).
PARAMETERS_PER_CALL = 10

# Enough to hide the latency of S3, few enough for a two-core server that boots.
PARALLEL_OBJECTS = 8

_UPLOAD = "upload the bundle again with `pulumi up`, then apply"


def fetch_manifest(s3: Any, identity: Identity) -> Manifest:
    """The manifest that the bucket holds now. Raises StepError when it is missing or damaged."""
    key = identity.manifest_key
    text = _object(s3, identity, key).decode("utf-8", errors="replace")
    subject = f"object s3://{identity.bucket}/{key}"
    return parse(text, stack=identity.stack, server=identity.server, subject=subject)


def stage_files(s3: Any, identity: Identity, manifest: Manifest, staging: Path) -> None:
    """Write every file of `manifest` below `staging`, verified.

    All of them, also those that the server has already: an object that is missing or wrong is found now, not on the
    day when a new server needs it.
    """
    with ThreadPoolExecutor(PARALLEL_OBJECTS) as pool:
        for entry, content in pool.map(lambda e: (e, _content(s3, identity, e)), manifest.files.values()):
            _write(staging, entry.path, content)


def verify_files(manifest: Manifest, staging: Path) -> None:
    """Compare every staged file with the manifest's digest again: the tree may have been handed over."""
    for entry in manifest.files.values():
        found = staging / entry.path.lstrip("/")
        if not found.is_file() or _sha256(found.read_bytes()) != entry.sha256:
            raise StepError("bundle", f"the staged {entry.path} is not what was fetched", "apply again", EXIT_BUNDLE)


def stage_secrets(ssm: Any, manifest: Manifest, staging: Path) -> None:
    """Write every secret of `manifest` below `staging`. Raises StepError naming all missing parameters."""
    names = sorted({entry.parameter for entry in manifest.secrets.values()})
    values = _parameters(ssm, names)
    for entry in manifest.secrets.values():
        _write(staging, entry.path, values[entry.parameter].encode())


def _content(s3: Any, identity: Identity, entry: FileEntry) -> bytes:
    key = entry.key or identity.file_key(entry.path)
    content = _object(s3, identity, key)
    found = _sha256(content)
    if found != entry.sha256:
        problem = f"object s3://{identity.bucket}/{key} has digest {found[:12]}..., not {entry.sha256[:12]}..."
        raise StepError("bundle", problem, _UPLOAD, EXIT_BUNDLE)
    return content


def _object(s3: Any, identity: Identity, key: str) -> bytes:
    where = f"s3://{identity.bucket}/{key}"
    try:
        return bytes(s3.get_object(Bucket=identity.bucket, Key=key)["Body"].read())
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        if code in ("NoSuchKey", "404", "NoSuchBucket"):
            raise StepError("bundle", f"object {where} is missing", _UPLOAD, EXIT_BUNDLE) from error
        if code in ("AccessDenied", "403"):
            # S3 says no more to a role that may not list the bucket, and ours may not (S3 API reference, GetObject).
            problem = f"object {where} is missing, or the instance role may not read it ({code})"
            raise StepError(
                "bundle", problem, f"{_UPLOAD}; if it is there, see the role's policy", EXIT_BUNDLE
            ) from error
        mend = "see that the instance role may read it"
        raise StepError("bundle", f"object {where} cannot be read ({code})", mend, EXIT_BUNDLE) from error
    except BotoCoreError as error:
        mend = "see that the server reaches S3 and has its instance role"
        raise StepError("bundle", f"object {where} cannot be read ({error})", mend, EXIT_BUNDLE) from error


def _parameters(ssm: Any, names: Iterable[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    missing: list[str] = []
    wanted = list(names)
    for first in range(0, len(wanted), PARAMETERS_PER_CALL):
        batch = wanted[first : first + PARAMETERS_PER_CALL]
        try:
            answer = ssm.get_parameters(Names=batch, WithDecryption=True)
        except (ClientError, BotoCoreError) as error:
            mend = "see that the instance role may read and decrypt them"
            problem = f"parameters {', '.join(batch)} cannot be read ({_code(error)})"
            raise StepError("secrets", problem, mend, EXIT_SECRET) from error
        values |= {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
        missing += answer["InvalidParameters"]
    if missing:
        plural = "parameters" if len(missing) > 1 else "parameter"
        mend = "create it (`pulumi up` does, unless you provide it yourself), then apply"
        raise StepError("secrets", f"{plural} {', '.join(missing)} missing in SSM", mend, EXIT_SECRET)
    return values


def _code(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", error))
    return str(error)


def _write(staging: Path, path: str, content: bytes) -> None:
    target = staging / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
