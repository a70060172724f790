"""A stack's configuration as the engine hands it over, and the provider that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws
from pulumi.runtime import config

from components import lookups
from components.permissions import Account
from topology.build import build_topology
from topology.model import Topology
from topology.names import PROJECT, TAG_STACK, alerts_topic
from topology.problems import ConfigurationError
from topology.reading import read_configuration
from topology.settings import Settings
from topology.stackfile import other_project


@dataclass(frozen=True)
class Configuration:
    """Everything that is decided before the first resource: settings, topology, account, image, provider."""

    settings: Settings
    topology: Topology
    account: Account
    image: str
    profile: str | None
    provider: aws.Provider


def configure(stack: str) -> Configuration:
    """Read and check the stack's configuration, then ask AWS what the region offers.

    Raises pulumi.RunError, which the engine shows as one message, for every fault that is found.
    """
    try:
        return _configure(stack)
    except ConfigurationError as error:
        raise pulumi.RunError(f"{error}\nNothing was created or changed.") from None


def _configure(stack: str) -> Configuration:
    if pulumi.get_project() != PROJECT:
        raise ConfigurationError([other_project(pulumi.get_project())], stack)
    # Checked without AWS first, so that a faulty configuration asks nobody and leaves nothing behind.
    # Config offers a key at a time; an unknown key, a typing error, would never be seen.
    read = read_configuration({**config.get_config_env(), **config.CONFIG.get()}, stack)
    settings, region, profile = read.settings, read.region, pulumi.Config("aws").get("profile")
    provider = aws.Provider(
        "aws",
        region=region,
        profile=profile,
        default_tags=aws.ProviderDefaultTagsArgs(tags=_default_tags(stack, settings)),
    )
    ask = pulumi.InvokeOptions(provider=provider)
    available = lookups.zones(ask)
    account = lookups.account(region, ask)
    # Alertmanager is told the topic's ARN, not its name: with account and partition both are the same text.
    topology = replace(
        build_topology(settings, stack=stack, region=region, zones=available),
        alerts_topic_arn=account.arn("sns", alerts_topic(stack)),
    )
    if lack := lookups.missing_offers(topology, available, ask):
        pulumi.log.warn(lack)
    return Configuration(
        settings=settings,
        topology=topology,
        account=account,
        image=lookups.image(topology, ask),
        profile=profile,
        provider=provider,
    )


def _default_tags(stack: str, settings: Settings) -> dict[str, str]:
    return {**settings.tags, "Project": PROJECT, "Stack": stack, "ManagedBy": "pulumi", TAG_STACK: stack}
