"""The topology of a stack from its files (Pulumi.<stack>.yaml), without Pulumi and without AWS."""

from __future__ import annotations

from pathlib import Path

from operations.errors import OperationError
from topology.model import Topology
from topology.problems import ConfigurationError
from topology.reading import read_configuration
from topology.stackfile import read_stack

PROJECT_DIRECTORY = Path(__file__).resolve().parent.parent


def load_topology(stack: str, directory: Path = PROJECT_DIRECTORY) -> Topology:
    """The topology that `directory`/Pulumi.<stack>.yaml describes.

    Zones are the first of its region unless it names some. Raises OperationError with every problem of the file.
    """
    try:
        file = read_stack(directory, stack)
        return read_configuration(file.config, stack).topology
    except ConfigurationError as error:
        raise OperationError(str(error)) from error


def region_of(stack: str) -> str | None:
    """The region that this project's Pulumi.<stack>.yaml names; None when it names none or cannot be read."""
    try:
        named = read_stack(PROJECT_DIRECTORY, stack).config.get("aws:region")
    except ConfigurationError:
        return None
    return str(named) if named else None
