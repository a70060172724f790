"""How long a load balancer that is stopped on purpose keeps serving, so that nobody is sent to it when it is gone."""

from __future__ import annotations

from topology.names import Edge

# Health checks of a Network Load Balancer: 5 s is the shortest interval, 2 the smallest count, so a lost load balancer
# costs its share of requests for about ten seconds.
NLB_CHECK_INTERVAL, NLB_CHECK_COUNT = 5, 2
# The shortest, too: a host that is lost says nothing, so each of its checks takes as long as it may.
NLB_CHECK_TIMEOUT = 2

_SECONDS = {
    # The last good check may have been a moment ago; the rest is for the decision to reach every node.
    Edge.NLB: NLB_CHECK_INTERVAL * (NLB_CHECK_COUNT + 1),
    # keepalived needs 1.5 s to see it, the EC2 API a second or two to move the address.
    Edge.FLOATING_EIP: 5,
    # One load balancer alone has nobody to hand over to. Resolvers forget a record after a minute or more, and
    # Route 53 asks the port, which is open until the end.
    Edge.EIP: 0,
    Edge.DNS: 0,
}


def drain_seconds(edge: Edge) -> int:
    """Seconds between HAProxy's health turning bad and its stop."""
    return _SECONDS[edge]
