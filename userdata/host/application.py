"""Fetch the stack's own application: one .tar.gz, unpacked to /opt/tripod/artifact/<sha256> when its digest is right.

Runs twice: as the check of a bundle (with the staged facts, before anything that runs is touched), and before the
application starts (ExecStartPre). An artifact that is there already is not fetched again, so a restart needs neither
S3 nor the web. A new one stays beside the one that runs, which it follows; older ones go.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from botocore.exceptions import BotoCoreError, ClientError

from .aws import Client
from .errors import EXIT_BUNDLE, StepError
from .identity import PATH, Identity
from .system import System

FACTS = "/etc/tripod/application.json"
PLACE = "/opt/tripod/artifact"
HTTP_SECONDS = 60.0
CHUNK = 1 << 20

_MEND = "mend the configuration key `application` and run `pulumi up`"


def stage(system: System, facts: Mapping[str, str], s3: Any) -> Path:
    """Provide what staged `facts` name, and keep only that and what runs. Raises what `provide` raises."""
    target = provide(system, facts["artifact"], facts["sha256"], s3)
    applied = system.path(FACTS)
    running = json.loads(applied.read_text())["sha256"] if applied.exists() else None
    if running != facts["sha256"]:
        _prune(system.path(PLACE), {facts["sha256"], running})
    return target


def _prune(place: Path, keep: Collection[str | None]) -> None:
    """Remove other artifacts, and what downloads left that were cut off. A full disk is worse than one that stays."""
    for entry in sorted(place.iterdir()):
        if entry.name.removeprefix(".").removesuffix(".tar.gz") in keep:
            continue
        try:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        except OSError as error:
            print(f"{entry} cannot be removed and takes room: {error}", file=sys.stderr)


def provide(system: System, artifact: str, sha256: str, s3: Any) -> Path:
    """The directory of the unpacked artifact. Raises StepError when it cannot be fetched or has another digest."""
    place = system.path(PLACE)
    target = place / sha256
    if target.is_dir():
        return target
    place.mkdir(parents=True, exist_ok=True)
    archive, unpacked = place / f".{sha256}.tar.gz", place / f".{sha256}"
    try:
        found = _download(artifact, archive, s3)
        if found != sha256:
            raise StepError("application", f"{artifact} has digest {found}, not {sha256}", _MEND, EXIT_BUNDLE)
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as tar:
            # The filter refuses links and names that lead out of the directory (PEP 706).
            tar.extractall(unpacked, filter="data")
        unpacked.chmod(0o755)
        unpacked.rename(target)
    except (tarfile.TarError, OSError) as error:
        raise StepError("application", f"{artifact} cannot be unpacked ({error})", _MEND, EXIT_BUNDLE) from error
    finally:
        archive.unlink(missing_ok=True)
        shutil.rmtree(unpacked, ignore_errors=True)
    return target


def _download(artifact: str, target: Path, s3: Any) -> str:
    url = urlsplit(artifact)
    try:
        if url.scheme == "s3":
            body = s3.get_object(Bucket=url.netloc, Key=url.path.lstrip("/"))["Body"]
            return _copy(body, target)
        with urlopen(artifact, timeout=HTTP_SECONDS) as answer:  # noqa: S310  the settings allow s3 and https only
            return _copy(answer, target)
    except (ClientError, BotoCoreError, URLError, TimeoutError) as error:
        raise StepError("application", f"{artifact} cannot be fetched ({error})", _MEND, EXIT_BUNDLE) from error


def _copy(source: IO[bytes], target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def main(arguments: Sequence[str]) -> int:
    """Provide the artifact that the facts name (a path as argument, else the applied ones); the exit code."""
    # The unit's own mask would hide the artifact from the user that the application runs as.
    os.umask(0o022)
    system = System()
    facts_file = Path(arguments[0]) if arguments else system.path(FACTS)
    server = "this server"
    try:
        identity = Identity.load(system.path(PATH))
        server = identity.server
        facts = json.loads(facts_file.read_text())
        s3 = Client("s3", identity.region)
        place = stage(system, facts, s3) if arguments else provide(system, facts["artifact"], facts["sha256"], s3)
        print(f"{server}: {place}")
    except StepError as error:
        print(error.line(server), file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
