"""Options that several commands of `python -m operations` take."""

from __future__ import annotations

import click

stack = click.option("--stack", required=True, metavar="NAME", help="The stack, as `pulumi stack` names it.")
region = click.option(
    "--region", metavar="NAME", help="AWS region. Default: the AWS environment's, or else that of Pulumi.NAME.yaml."
)
