"""Passwords of the MySQL accounts: generated once, kept in the encrypted state and as SecureString parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from topology.names import Account, password_parameter

LENGTH = 32
"""Characters of a password, out of 62: 190 bits."""


@dataclass(frozen=True)
class PasswordsArgs:
    """What the passwords need to know."""

    stack: str


class Passwords(pulumi.ComponentResource):
    """One password per account. `parameters` maps parameter names to the parameters."""

    parameters: Mapping[str, aws.ssm.Parameter]

    def __init__(self, name: str, args: PasswordsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:passwords:Passwords", name, None, opts)
        self.parameters = {}
        for account in Account:
            slug = account.value.replace("_", "-")
            password = random.RandomPassword(
                f"{name}-{slug}",
                length=LENGTH,
                # No character that a shell, an option file or a URL would read as anything but itself.
                special=False,
                # The databases on the data volumes outlive `pulumi destroy`, and they know these passwords.
                opts=pulumi.ResourceOptions(parent=self, protect=True),
            )
            parameter = password_parameter(args.stack, account)
            self.parameters[parameter] = aws.ssm.Parameter(
                f"{name}-{slug}-parameter",
                name=parameter,
                type="SecureString",
                value=password.result,
                description=f"Password of the MySQL account {account.value}",
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"parameters": list(self.parameters)})
