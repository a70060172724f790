"""The last step of `pulumi up`: it succeeds only when every server is ready and the stack is healthy."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.server import Server
from topology.model import Topology

# Relative, like everything of the project: an absolute path would differ between two machines, and then every `up`
# of another one would see a change.
PYTHON = ".venv/bin/python"

# Beyond the command's own deadline, whose message says which server is at which step.
GRACE_SECONDS = 120


@dataclass(frozen=True)
class VerificationArgs:
    """What is verified, and what must be there first. `profile` is the AWS profile, None for the environment's.

    The command is run again when anything of the topology, or the bundle, the instance or a parameter of any server
    has changed.
    """

    topology: Topology
    profile: str | None
    timeout_minutes: int
    servers: Mapping[str, Server]
    requires: Sequence[pulumi.Resource]


class Verification(pulumi.ComponentResource):
    """Runs `python -m operations verify`, which asks every server over Systems Manager."""

    def __init__(self, name: str, args: VerificationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:verification:Verification", name, None, opts)
        seconds = args.timeout_minutes * 60
        command = shlex.join(
            [PYTHON, "-m", "operations", "verify", "--stack", args.topology.stack, "--timeout", str(seconds)]
        )
        timeout = f"{seconds + GRACE_SECONDS}s"
        digests = {name: server.digest for name, server in args.servers.items()}
        instances = {name: server.instance_id for name, server in args.servers.items()}
        versions = {
            parameter: resource.version
            for server in args.servers.values()
            for parameter, resource in server.parameters.items()
        }
        local.Command(
            f"{name}-command",
            # A change of any input runs `update` in place (`triggers` would replace the resource, to the same end
            # but with a deletion in every preview). When it fails the old inputs stay in the state, so the next
            # `pulumi up` tries again.
            create=command,
            update=command,
            environment={
                "AWS_REGION": args.topology.region,
                **({"AWS_PROFILE": args.profile} if args.profile else {}),
                "TRIPOD_TOPOLOGY": hashlib.sha256(repr(args.topology).encode()).hexdigest(),
                "TRIPOD_EXPECTED_DIGESTS": json.dumps(digests, sort_keys=True),
                "TRIPOD_INSTANCES": pulumi.Output.json_dumps(instances, sort_keys=True),
                "TRIPOD_PARAMETER_VERSIONS": pulumi.Output.json_dumps(versions, sort_keys=True),
            },
            # The last answer in the environment would be one more input that changes.
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*args.servers.values(), *args.requires],
                custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout),
            ),
        )
        self.register_outputs({})
