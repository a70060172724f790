"""pulumi-tls: keys and certificates made for real, kept in the state."""

from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rehearsal.resources.base import Inputs, Kind, Outcome, Outputs, kind

CURVES: dict[str, type[ec.EllipticCurve]] = {"P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}

PrivateKeyType = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
}

KEY_USAGES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}

EXTENDED_USAGES = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


def generate(inputs: Inputs) -> PrivateKeyType:
    """A new private key of the algorithm asked for."""
    algorithm = inputs["algorithm"]
    if algorithm == "RSA":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(inputs.get("rsaBits") or 2048))
    if algorithm == "ECDSA":
        curve = inputs.get("ecdsaCurve") or "P224"
        if curve not in CURVES:
            raise ValueError(f"ecdsaCurve {curve} is not one of {', '.join(CURVES)}")
        return ec.generate_private_key(CURVES[curve]())
    if algorithm == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"algorithm {algorithm} is not one of RSA, ECDSA, ED25519")


def load_key(text: str) -> PrivateKeyType:
    """The private key in a PEM text."""
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, PrivateKeyType):
        raise TypeError(f"unsupported private key {type(key).__name__}")
    return key


def pem(key: PrivateKeyType, form: serialization.PrivateFormat) -> str:
    """A private key as PEM text."""
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def digest(key: PrivateKeyType) -> hashes.SHA256 | None:
    """The hash a key signs with: Ed25519 brings its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def subject(inputs: Inputs) -> x509.Name:
    """The subject's name."""
    names = inputs.get("subject") or {}
    return x509.Name([x509.NameAttribute(oid, names[key]) for key, oid in SUBJECT.items() if names.get(key)])


def alternative_names(inputs: Inputs) -> list[x509.GeneralName]:
    """Subject alternative names: DNS names, addresses, URIs."""
    return [
        *(x509.DNSName(name) for name in inputs.get("dnsNames") or []),
        *(x509.IPAddress(ipaddress.ip_address(text)) for text in inputs.get("ipAddresses") or []),
        *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris") or []),
    ]


def sign(
    *,
    name: x509.Name,
    issuer: x509.Name,
    public_key: Any,
    issuer_key: PrivateKeyType,
    names: list[x509.GeneralName],
    inputs: Inputs,
) -> Outputs:
    """Make a certificate; outputs `certPem`, `validityStartTime`, `validityEndTime`, `readyForRenewal`."""
    start = dt.datetime.now(dt.UTC).replace(microsecond=0)
    end = start + dt.timedelta(hours=float(inputs["validityPeriodHours"]))
    authority = bool(inputs.get("isCaCertificate"))
    uses = inputs.get("allowedUses") or []
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    key_usage = dict.fromkeys(KEY_USAGES.values(), False)
    key_usage.update({KEY_USAGES[use]: True for use in uses if use in KEY_USAGES})
    if any(key_usage.values()):
        builder = builder.add_extension(x509.KeyUsage(**key_usage), critical=True)
    extended = [EXTENDED_USAGES[use] for use in uses if use in EXTENDED_USAGES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if authority or inputs.get("setSubjectKeyId"):
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer_key, digest(issuer_key))
    return {
        "certPem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "validityStartTime": start.isoformat(),
        "validityEndTime": end.isoformat(),
        "readyForRenewal": False,
    }


@kind("tls:index/privateKey:PrivateKey")
class PrivateKey(Kind):
    """A private key."""

    replace_on = frozenset({"algorithm", "ecdsaCurve", "rsaBits"})

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        key = generate(inputs)
        public = (
            key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        form = (
            serialization.PrivateFormat.PKCS8
            if isinstance(key, ed25519.Ed25519PrivateKey)
            else serialization.PrivateFormat.TraditionalOpenSSL
        )
        fingerprint = hashes.Hash(hashes.SHA256())
        fingerprint.update(public.encode())
        return Outcome(
            fingerprint.finalize().hex()[:40],
            {
                "privateKeyPem": pem(key, form),
                "privateKeyPemPkcs8": pem(key, serialization.PrivateFormat.PKCS8),
                "publicKeyPem": public,
            },
            secrets=("privateKeyPem", "privateKeyPemPkcs8"),
        )


CERTIFICATE = frozenset(
    {
        "allowedUses",
        "privateKeyPem",
        "caPrivateKeyPem",
        "caCertPem",
        "certRequestPem",
        "validityPeriodHours",
        "isCaCertificate",
        "setSubjectKeyId",
        "setAuthorityKeyId",
        "subject",
        "dnsNames",
        "ipAddresses",
        "uris",
    }
)


@kind("tls:index/selfSignedCert:SelfSignedCert")
class SelfSignedCert(Kind):
    """A certificate signed with its own key, such as the stack's CA."""

    replace_on = CERTIFICATE

    @staticmethod
    def certificate(inputs: Inputs) -> Outputs:
        """What `sign` makes of the key in `inputs`, for itself."""
        key = load_key(inputs["privateKeyPem"])
        return sign(
            name=subject(inputs),
            issuer=subject(inputs),
            public_key=key.public_key(),
            issuer_key=key,
            names=alternative_names(inputs),
            inputs=inputs,
        )

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        return Outcome(str(x509.random_serial_number()), self.certificate(inputs))

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        return {}


@kind("tls:index/certRequest:CertRequest")
class CertRequest(Kind):
    """A certificate signing request."""

    replace_on = CERTIFICATE

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        key = load_key(inputs["privateKeyPem"])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject(inputs))
        names = alternative_names(inputs)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        request = builder.sign(key, digest(key))
        text = request.public_bytes(serialization.Encoding.PEM).decode()
        return Outcome(str(x509.random_serial_number()), {"certRequestPem": text})


@kind("tls:index/locallySignedCert:LocallySignedCert")
class LocallySignedCert(Kind):
    """A certificate signed by a CA of the program."""

    replace_on = CERTIFICATE

    def create(self, name: str, inputs: Inputs) -> Outcome:  # noqa: ARG002
        request = x509.load_pem_x509_csr(inputs["certRequestPem"].encode())
        authority = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
        names: list[x509.GeneralName] = []
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                names = list(extension.value)
        outputs = sign(
            name=request.subject,
            issuer=authority.subject,
            public_key=request.public_key(),
            issuer_key=load_key(inputs["caPrivateKeyPem"]),
            names=names,
            inputs=inputs,
        )
        return Outcome(str(x509.random_serial_number()), outputs)

    def update(self, resource_id: str, old: Inputs, new: Inputs) -> Outputs:  # noqa: ARG002
        # earlyRenewalHours only says when to warn.
        return {}
