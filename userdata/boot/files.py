"""The user data of a server, the same for any configuration of its stack."""

from __future__ import annotations

import json
from pathlib import Path

from topology import names
from topology.model import Server, Topology
from userdata import paths
from userdata.templates import render

HERE = Path(__file__).parent

# EC2 allows 16 KiB; ours stays well below, because it holds nothing that could grow.
LIMIT = 4096


def user_data(topology: Topology, server: Server, bucket: str) -> str:
    """A `#cloud-config` of less than 4096 bytes. It names the stack, the server, the bucket and the region, no more:
    a change of user data would stop and start the instance."""
    identity = {"stack": topology.stack, "server": server.name, "bucket": bucket, "region": topology.region}
    return render(
        HERE,
        "user-data.yaml.j2",
        server=server.name,
        identity_path=paths.IDENTITY,
        identity=json.dumps(identity),
        library=paths.LIBRARY,
        state_parameter=names.server_state_parameter(topology.stack, server.name),
        start=render(HERE, "start.py.j2", library=paths.LIBRARY, identity=paths.IDENTITY),
    )
