"""The HTTPS certificate of the site, signed by the stack's own authority."""

from __future__ import annotations

import pulumi

from components.certificates import SITE_DAYS, SITE_RENEWAL_DAYS, Authority, Certificate, CertificateArgs
from components.edge import Edge
from topology import names
from topology.model import Topology


def site_certificate(
    name: str, topology: Topology, *, edge: Edge, authority: Authority, opts: pulumi.ResourceOptions
) -> Certificate:
    """A certificate for every name and address that leads to the site, and for a tunnel to it (localhost)."""
    domain = [topology.domain] if topology.domain else []
    return Certificate(
        name,
        CertificateArgs(
            authority=authority,
            common_name=topology.domain or f"tripod-{topology.stack}",
            dns_names=[*domain, *edge.names, "localhost"],
            addresses=[*edge.addresses, "127.0.0.1"],
            certificate_parameter=names.site_certificate_parameter(topology.stack),
            key_parameter=names.site_key_parameter(topology.stack),
            days=SITE_DAYS,
            renewal_days=SITE_RENEWAL_DAYS,
        ),
        opts,
    )
