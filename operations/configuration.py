"""The topology of a stack from its files (Pulumi.<stack>.yaml), without Pulumi and without AWS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from operations.errors import OperationError
from topology.build import build_topology
from topology.model import Topology
from topology.names import PROJECT
from topology.problems import ConfigurationError
from topology.settings import Settings

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent


def load_topology(stack: str, directory: Path = PROJECT_DIRECTORY, region: str | None = None) -> Topology:
    """The topology that `directory`/Pulumi.<stack>.yaml describes.

    `region` comes from the file's `aws:region`, else from the argument, else from AWS_REGION. Zones are the first
    three of the region unless the file names some. Raises OperationError.
    """
    config = _config(stack, directory)
    region = config.get("aws:region") or region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        mend = "Run 'pulumi config set aws:region REGION' or pass --region."
        raise OperationError(f"No region for stack '{stack}'. {mend}")
    prefix = f"{PROJECT}:"
    raw = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    secret = [key for key, value in raw.items() if isinstance(value, dict) and set(value) == {"secure"}]
    if secret:
        raise OperationError(
            f"{prefix}{secret[0]} is encrypted in Pulumi.{stack}.yaml. No key of {PROJECT} is a secret: set it again "
            f"with 'pulumi config set --plaintext {prefix}{secret[0]} VALUE'."
        )
    try:
        return build_topology(Settings.parse(raw, stack), stack=stack, region=str(region))
    except ConfigurationError as error:
        raise OperationError(str(error)) from error


def _config(stack: str, directory: Path) -> dict[str, Any]:
    path = directory / f"Pulumi.{stack}.yaml"
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        stacks = sorted(p.name.split(".")[1] for p in directory.glob("Pulumi.*.yaml"))
        there = f"Stacks there: {', '.join(stacks)}." if stacks else "No stack is configured there."
        raise OperationError(f"There is no Pulumi.{stack}.yaml in {directory}. {there}") from None
    except (OSError, yaml.YAMLError) as error:
        raise OperationError(f"{path} cannot be read: {error}") from error
    config = content.get("config") or {} if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise OperationError(f"{path} has no 'config:' mapping.")
    return {str(key): value for key, value in config.items()}
