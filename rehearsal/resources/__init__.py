"""What a resource of the program becomes in the emulated AWS: one class per resource type.

Importing this package fills :data:`rehearsal.resources.base.KINDS`.
"""

from __future__ import annotations

from rehearsal.resources import (  # noqa: F401  (each registers its types)
    command,
    compute,
    dlm,
    firewall,
    iam,
    kms,
    load_balancer,
    network,
    observability,
    randomness,
    route53,
    s3,
    ssm,
    tls,
)
from rehearsal.resources.base import KINDS, Aws, Kind, Outcome, UnknownTypeError, kind_of

__all__ = ["KINDS", "Aws", "Kind", "Outcome", "UnknownTypeError", "kind_of"]
