"""Transport certificates: making one's own, and checking a member's before it is trusted.

A certificate says nothing in this mesh beyond "this key": members are told apart by the hash of
their public key, pinned in the signed member card. It is self-signed, can issue nothing, and does
not run out within the life of a mesh, for the card is what ends its validity.
"""

from __future__ import annotations

import datetime
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orgnode.errors import CertificateError

VALID_YEARS = 100
MAX_CERTIFICATE = 4_096


def self_signed(name: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate (DER) for a member's transport key, valid from today's start for 100 years."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.datetime.now(datetime.UTC)
    # A day back: peers' clocks differ, and a mesh that starts at once must not wait for them.
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - datetime.timedelta(days=1)
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * VALID_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def public_pin(public: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a key's SubjectPublicKeyInfo (RFC 7469, section 2.4), hex."""
    spki = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def spki_pin(certificate: bytes) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in a certificate (DER), hex.

    :raises CertificateError: it is no certificate, or not one for a P-256 key.
    """
    return public_pin(_public(_parse(certificate)))


def check_certificate(certificate: bytes, name: str, pin: str) -> None:
    """Check the certificate (DER) in a member's card before it becomes a trust anchor.

    It must hold the pinned P-256 key, be signed by that key, be no certificate authority, and be
    made out to the member: a member with a CA certificate could let others in, one with another's
    name could stand in the way of that member's.

    :raises CertificateError: any of it is not so.
    """
    parsed = _parse(certificate)
    public = _public(parsed)
    if public_pin(public) != pin:
        raise CertificateError(
            f"the certificate of {name} is not for the key that its card pins",
            hint=f"ask {name} for a card that was made by `orgnode init`",
        )
    try:
        constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
        can_issue = constraints.ca or usage.key_cert_sign
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise CertificateError(
            f"the certificate of {name} does not say that it cannot issue others",
            hint=f"ask {name} for a card that was made by `orgnode init`",
        ) from error
    if can_issue:
        raise CertificateError(
            f"the certificate of {name} could issue others, and so let outsiders in",
            hint=f"ask {name} for a card that was made by `orgnode init`",
        )
    names = [str(item.value) for item in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [name[:64]] or parsed.issuer != parsed.subject:
        raise CertificateError(
            f"the certificate of {name} is not made out to that name by its own key",
            hint=f"ask {name} for a card that was made by `orgnode init`",
        )
    try:
        parsed.verify_directly_issued_by(parsed)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise CertificateError(
            f"the certificate of {name} is not signed by its own key",
            hint=f"ask {name} for a card that was made by `orgnode init`",
        ) from error


def _parse(certificate: bytes) -> x509.Certificate:
    if len(certificate) > MAX_CERTIFICATE:
        raise CertificateError(f"a certificate is at most {MAX_CERTIFICATE} bytes long")
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise CertificateError(
            "this is not an X.509 certificate (DER)", hint="restore the member card it came from"
        ) from error


def _public(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("the key in this certificate cannot be read") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(
        public.curve, ec.SECP256R1
    ):
        raise CertificateError("the key in this certificate is not a P-256 key")
    return public
