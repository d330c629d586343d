"""Mutual TLS 1.3 between members: the trust anchors are exactly the members' own certificates.

No certificate authority, no names: a connection is a member's if it shows the key that the member's
card pins. The handshake refuses every other certificate; `peer_pin` then says which member it is,
since any member may connect to a server, while a client wants one member and trusts only that one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator

from mesh.genesis import Mesh
from mesh.member import MemberCard
from orgnode.certificate import check_certificate, spki_pin
from orgnode.errors import NotAMemberError
from orgnode.keystore import KeyStore

__all__ = [
    "check_certificates",
    "client_context",
    "member_of",
    "peer_pin",
    "server_context",
    "spki_pin",
]


def server_context(keystore: KeyStore, member_certificates: Iterable[bytes]) -> ssl.SSLContext:
    """For a server that takes connections from members only: each must show a known certificate.

    `member_certificates` are DER, as in the member cards; check them first (`check_certificates`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, keystore, member_certificates)
    # No resumption: a removed member must not come back on an old session's ticket.
    context.num_tickets = 0
    return context


def client_context(keystore: KeyStore, member_certificate: bytes) -> ssl.SSLContext:
    """For connections to one member: only that member's certificate (DER) is accepted there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The pinned key is the identity; host names are only where to find it.
    context.check_hostname = False
    _harden(context, keystore, [member_certificate])
    return context


def check_certificates(mesh: Mesh) -> None:
    """Check every member's certificate against its card; to be done before any is trusted.

    :raises CertificateError: names the member whose certificate it is.
    """
    for card in mesh.members:
        check_certificate(card.certificate, card.name, card.transport_pin)


def peer_pin(connection: ssl.SSLObject | ssl.SSLSocket) -> str:
    """SHA-256 of the other end's SubjectPublicKeyInfo, hex, after the handshake.

    :raises NotAMemberError: the other end showed no certificate.
    """
    certificate = connection.getpeercert(binary_form=True)
    if certificate is None:
        raise NotAMemberError("the other end of the connection showed no certificate")
    return spki_pin(certificate)


def member_of(pin: str, mesh: Mesh) -> MemberCard:
    """The member whose card pins this key.

    :raises NotAMemberError: no member's card does.
    """
    for card in mesh.members:
        if secrets.compare_digest(card.transport_pin, pin):
            return card
    raise NotAMemberError(
        f"no member of this mesh holds the key {pin[:16]}…",
        hint="check that both nodes have the same genesis",
    )


def _harden(context: ssl.SSLContext, keystore: KeyStore, anchors: Iterable[bytes]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # Strict (RFC 5280) checks, and a chain may end at any anchor: here it always has length one.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    for certificate in anchors:
        context.load_verify_locations(cadata=certificate)
    password = secrets.token_hex(32).encode()
    pem = ssl.DER_cert_to_PEM_cert(keystore.certificate).encode()
    with _file_of(pem + keystore.transport_key_pem(password)) as path:
        context.load_cert_chain(path, password=password)


@contextlib.contextmanager
def _file_of(data: bytes) -> Iterator[str]:
    # OpenSSL, through Python, reads keys from files only. The key in it is encrypted under a
    # password that never leaves this process, and the file is in memory where the system can do so.
    memfd_create: Callable[[str], int] | None = getattr(os, "memfd_create", None)
    if memfd_create is not None and os.path.isdir("/proc/self/fd"):
        fd = memfd_create("transport")
        try:
            os.write(fd, data)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
        return
    with tempfile.NamedTemporaryFile() as file:  # 0600
        file.write(data)
        file.flush()
        yield file.name
