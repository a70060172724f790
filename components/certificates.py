"""The stack's own certificate authority and the certificates that it signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from topology.names import ca_certificate_parameter

CURVE = "P256"

HOURS_A_DAY = 24
AUTHORITY_DAYS = 3650
# Traffic inside the stack: long, because the members of a group must never fall out over a date, and renewed by any
# `pulumi up` in the last year.
SERVER_DAYS, SERVER_RENEWAL_DAYS = 1095, 365
# Browsers take at most 398 days from an authority that a person installed (CA/Browser Forum, Apple HT211025).
SITE_DAYS, SITE_RENEWAL_DAYS = 397, 120


@dataclass(frozen=True)
class AuthorityArgs:
    """What an authority needs to know."""

    stack: str


class Authority(pulumi.ComponentResource):
    """The CA (EC P-256). Its private key exists only in Pulumi's encrypted state and never reaches a server.

    `certificate_pem` is public and stored as a String parameter.
    """

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]
    parameters: Mapping[str, aws.ssm.Parameter]

    def __init__(self, name: str, args: AuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:certificates:Authority", name, None, opts)
        # Every client that trusts this authority would have to be told of another one.
        kept = pulumi.ResourceOptions(parent=self, protect=True)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve=CURVE, opts=kept)
        certificate = tls.SelfSignedCert(
            f"{name}-certificate",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            set_subject_key_id=True,
            subject={"common_name": f"Tripod {args.stack} authority", "organization": "Tripod"},
            allowed_uses=["cert_signing", "crl_signing", "digital_signature"],
            validity_period_hours=AUTHORITY_DAYS * HOURS_A_DAY,
            opts=kept,
        )
        parameter = ca_certificate_parameter(args.stack)
        self.certificate_pem = certificate.cert_pem
        self.private_key_pem = key.private_key_pem
        self.parameters = {
            parameter: aws.ssm.Parameter(
                f"{name}-parameter",
                name=parameter,
                type="String",
                insecure_value=certificate.cert_pem,  # public: a preview shows what changes in it
                description="Certificate of the stack's own authority",
                opts=pulumi.ResourceOptions(parent=self),
            )
        }
        self.register_outputs({"certificatePem": self.certificate_pem})


@dataclass(frozen=True)
class CertificateArgs:
    """What a certificate needs to know.

    `dns_names` and `addresses` are its subject alternative names. The certificate goes to `certificate_parameter`
    (String), its private key to `key_parameter` (SecureString). It is valid for `days`, and a `pulumi up` within
    `renewal_days` of the end renews it.
    """

    authority: Authority
    common_name: str
    dns_names: Sequence[pulumi.Input[str]]
    addresses: Sequence[pulumi.Input[str]]
    certificate_parameter: str
    key_parameter: str
    days: int
    renewal_days: int


class Certificate(pulumi.ComponentResource):
    """A key pair, its certificate signed by the stack's authority, and the two parameters servers fetch."""

    parameters: Mapping[str, aws.ssm.Parameter]

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tripod:certificates:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = tls.PrivateKey(f"{name}-key", algorithm="ECDSA", ecdsa_curve=CURVE, opts=child)
        request = tls.CertRequest(
            f"{name}-request",
            private_key_pem=key.private_key_pem,
            subject={"common_name": args.common_name, "organization": "Tripod"},
            dns_names=list(args.dns_names),
            ip_addresses=list(args.addresses),
            opts=child,
        )
        certificate = tls.LocallySignedCert(
            f"{name}-certificate",
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=args.authority.private_key_pem,
            ca_cert_pem=args.authority.certificate_pem,
            # Members of a group are each other's clients.
            allowed_uses=["digital_signature", "server_auth", "client_auth"],
            set_subject_key_id=True,
            validity_period_hours=args.days * HOURS_A_DAY,
            early_renewal_hours=args.renewal_days * HOURS_A_DAY,
            opts=child,
        )
        self.parameters = {
            args.certificate_parameter: aws.ssm.Parameter(
                f"{name}-parameter",
                name=args.certificate_parameter,
                type="String",
                insecure_value=certificate.cert_pem,  # public: a preview shows what changes in it
                description=f"Certificate of {args.common_name}",
                opts=child,
            ),
            args.key_parameter: aws.ssm.Parameter(
                f"{name}-key-parameter",
                name=args.key_parameter,
                type="SecureString",
                value=key.private_key_pem,
                description=f"Private key of {args.common_name}",
                opts=child,
            ),
        }
        self.register_outputs({"parameters": list(self.parameters)})
