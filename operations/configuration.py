"""The topology of a stack from its files (Pulumi.<stack>.yaml), without Pulumi and without AWS."""

from __future__ import annotations

from pathlib import Path

from operations.errors import OperationError, RegionError
from topology.model import Topology
from topology.problems import ConfigurationError
from topology.reading import read_configuration, region_problems
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


def region_of(stack: str) -> str:
    """The region that this project's Pulumi.<stack>.yaml names. Raises RegionError, and says why it names none."""
    unset = "No AWS region is set. Set AWS_REGION, or pass --region. The stack's file gives none either"
    try:
        config = read_stack(PROJECT_DIRECTORY, stack).config
    except ConfigurationError as error:
        raise RegionError(f"{unset}: {error}") from error
    for problem in region_problems(config):
        raise RegionError(f"{unset}: {problem.line}.")
    return str(config["aws:region"])
