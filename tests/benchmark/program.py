"""Imports everything that an evaluation uses, so that the benchmark can tell imports from evaluation."""

from __future__ import annotations

import pulumi_aws.ebs
import pulumi_aws.ec2
import pulumi_aws.iam
import pulumi_aws.s3
import pulumi_aws.ssm
import pulumi_aws.vpc  # noqa: F401

from components import (  # noqa: F401
    bundle,
    certificates,
    configuration,
    edge,
    firewall,
    network,
    outputs,
    passwords,
    server,
    site,
    verification,
)
from tests.program.evaluation import evaluate

__all__ = ["evaluate"]
