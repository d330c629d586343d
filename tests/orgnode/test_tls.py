"""Mutual TLS between members, over real sockets: who gets in, and who does not."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

import orgnode.tls
from mesh.testing import found, founder
from orgnode.certificate import check_certificate, public_pin, self_signed, spki_pin
from orgnode.errors import CertificateError, NotAMemberError
from orgnode.keystore import KeyStore
from orgnode.tls import (
    check_certificates,
    client_context,
    member_of,
    peer_pin,
    server_context,
)


@lru_cache
def keys(name: str) -> KeyStore:
    with TemporaryDirectory() as directory:
        return KeyStore.create(Path(directory), name)


ACME, BIRCH, COBALT = (keys(f"{name}.example") for name in ("acme", "birch", "cobalt"))
OUTSIDER = keys("outsider.example")
MEMBERS = [store.certificate for store in (ACME, BIRCH, COBALT)]


@dataclass
class End:
    """What one end of a connection saw."""

    pin: str | None = None
    received: bytes = b""
    error: Exception | None = None
    resumed: bool | None = None
    version: str | None = None
    session: ssl.SSLSession | None = None


def connect(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[End, End]:
    """A connection over loopback TCP with a message each way; what each end saw."""
    listener = socket.create_server(("127.0.0.1", 0))
    served, seen = End(), End()

    def run(end: End, wrap: Callable[[], ssl.SSLSocket]) -> None:
        try:
            with wrap() as connection:
                end.pin = peer_pin(connection)
                end.version = connection.version()
                connection.sendall(b"hello")
                end.received = connection.recv(5)
                end.resumed = connection.session_reused
                end.session = connection.session
        except (OSError, NotAMemberError) as error:
            end.error = error

    def serve() -> None:
        raw, _ = listener.accept()
        with raw:
            raw.settimeout(10)
            run(served, lambda: server.wrap_socket(raw, server_side=True))

    thread = threading.Thread(target=serve)
    thread.start()
    with socket.create_connection(listener.getsockname(), timeout=10) as raw:
        run(seen, lambda: client.wrap_socket(raw, session=session))
    thread.join()
    listener.close()
    return served, seen


def refused(ends: tuple[End, End]) -> bool:
    """No byte got through to the server's application, and each end noticed."""
    served, seen = ends
    return served.received == b"" and served.error is not None and seen.received == b""


def test_members_connect_and_know_each_other() -> None:
    served, seen = connect(server_context(ACME, MEMBERS), client_context(BIRCH, ACME.certificate))
    assert (served.error, seen.error) == (None, None)
    assert (served.received, seen.received) == (b"hello", b"hello")
    assert served.pin == BIRCH.transport_pin
    assert seen.pin == ACME.transport_pin
    assert served.version == seen.version == "TLSv1.3"


def test_client_without_a_certificate_is_refused() -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=ACME.certificate)
    ends = connect(server_context(ACME, MEMBERS), client)
    assert refused(ends)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(ends[0].error)


def test_client_that_is_no_member_is_refused() -> None:
    ends = connect(server_context(ACME, MEMBERS), client_context(OUTSIDER, ACME.certificate))
    assert refused(ends)
    assert "CERTIFICATE_VERIFY_FAILED" in str(ends[0].error)


def test_former_member_is_refused() -> None:
    server = server_context(ACME, [ACME.certificate, COBALT.certificate])
    assert refused(connect(server, client_context(BIRCH, ACME.certificate)))


def test_server_with_another_members_key_is_refused() -> None:
    """A member can't stand in for another: the client wants one key, not any member's."""
    served, seen = connect(server_context(COBALT, MEMBERS), client_context(BIRCH, ACME.certificate))
    assert "CERTIFICATE_VERIFY_FAILED" in str(seen.error)
    assert (seen.received, served.received) == (b"", b"")


def test_server_that_is_no_member_is_refused() -> None:
    certificates = [*MEMBERS, OUTSIDER.certificate]
    _, seen = connect(
        server_context(OUTSIDER, certificates), client_context(BIRCH, ACME.certificate)
    )
    assert "CERTIFICATE_VERIFY_FAILED" in str(seen.error)


def signed(
    subject: str,
    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    issuer: str,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    *,
    ca: bool | None = False,
    cert_sign: bool = False,
    days: tuple[int, int] = (-1, 1000),
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=True
        ).add_extension(
            x509.KeyUsage(True, False, False, False, False, cert_sign, False, False, False),
            critical=True,
        )
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def context_with_chain(key: ec.EllipticCurvePrivateKey, *chain: bytes) -> ssl.SSLContext:
    """A client that shows a chain of certificates of its own making."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=ACME.certificate)
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode() + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with TemporaryDirectory() as directory:
        (Path(directory) / "chain.pem").write_bytes(pem)
        client.load_cert_chain(Path(directory) / "chain.pem")
    return client


@pytest.mark.parametrize("show_issuer", [True, False])
def test_members_certificate_cannot_issue_another(show_issuer: bool) -> None:
    friend = ec.generate_private_key(ec.SECP256R1())
    leaf = signed("friend.example", friend.public_key(), "birch.example", BIRCH._transport)
    chain = [der(leaf)] + [BIRCH.certificate] * show_issuer
    ends = connect(server_context(ACME, MEMBERS), context_with_chain(friend, *chain))
    assert refused(ends)
    assert "CERTIFICATE_VERIFY_FAILED" in str(ends[0].error)


def test_certificate_of_a_members_name_with_another_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    impostor = self_signed("birch.example", key)
    assert refused(connect(server_context(ACME, MEMBERS), context_with_chain(key, impostor)))


def test_members_certificate_without_its_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        context_with_chain(key, BIRCH.certificate)


def test_older_tls_is_refused() -> None:
    client = client_context(BIRCH, ACME.certificate)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    ends = connect(server_context(ACME, MEMBERS), client)
    assert refused(ends)
    assert ends[0].error is not None


def test_sessions_are_not_resumed() -> None:
    """A ticket would let a member in that was removed since it was given out."""
    server, client = server_context(ACME, MEMBERS), client_context(BIRCH, ACME.certificate)
    _, first = connect(server, client)
    assert first.session is None or not first.session.has_ticket
    _, second = connect(server, client)
    assert second.resumed is False


@pytest.mark.parametrize("in_memory", [True, False])
def test_key_is_never_in_a_file_unencrypted(
    in_memory: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr("os.memfd_create")
    given: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def watched(self: ssl.SSLContext, path: str, password: bytes) -> None:
        given.append(Path(path).read_bytes())
        if not in_memory:
            assert Path(path).stat().st_mode & 0o077 == 0
        load(self, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    orgnode.tls.client_context(BIRCH, ACME.certificate)
    (content,) = given
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in content
    assert b"BEGIN PRIVATE KEY" not in content
    assert b"BEGIN EC PRIVATE KEY" not in content
    assert list(tmp_path.iterdir()) == []


def test_pins() -> None:
    public = x509.load_der_x509_certificate(ACME.certificate).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public_pin(public) == spki_pin(ACME.certificate) == ACME.transport_pin
    assert len({store.transport_pin for store in (ACME, BIRCH, COBALT)}) == 3
    # Another certificate for the same key has the same pin.
    assert spki_pin(self_signed("other.example", ACME._transport)) == ACME.transport_pin


def mesh_of(*stores: KeyStore) -> object:
    return found(
        [
            founder(place, name=store.name, certificate=(store.certificate, store.transport_pin))
            for place, store in enumerate(stores)
        ]
    ).mesh


def test_member_of_a_pin() -> None:
    mesh = mesh_of(ACME, BIRCH)
    assert member_of(BIRCH.transport_pin, mesh).name == "birch.example"  # type: ignore[arg-type]
    with pytest.raises(NotAMemberError) as caught:
        member_of(OUTSIDER.transport_pin, mesh)  # type: ignore[arg-type]
    assert "genesis" in caught.value.hint


def test_certificates_of_a_mesh_are_checked() -> None:
    check_certificates(mesh_of(ACME, BIRCH))  # type: ignore[arg-type]
    wrong = found(
        [
            founder(0, name="acme.example", certificate=(ACME.certificate, ACME.transport_pin)),
            founder(1, name="birch.example", certificate=(BIRCH.certificate, "ab" * 32)),
        ]
    ).mesh
    with pytest.raises(CertificateError, match=r"birch\.example"):
        check_certificates(wrong)


def test_own_certificate_holds() -> None:
    check_certificate(ACME.certificate, ACME.name, ACME.transport_pin)
    parsed = x509.load_der_x509_certificate(ACME.certificate)
    years = (parsed.not_valid_after_utc - parsed.not_valid_before_utc).days / 365
    assert years >= 99
    assert parsed.not_valid_before_utc < datetime.datetime.now(datetime.UTC)
    name = "a" * 40 + "." + "b" * 55 + ".example"  # longer than a common name may be
    check_certificate(self_signed(name, ACME._transport), name, ACME.transport_pin)


def test_certificates_that_no_card_may_hold() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1())
    p384 = ec.generate_private_key(ec.SECP384R1())
    ed = ed25519.Ed25519PrivateKey.generate()
    name, pin = "acme.example", public_pin(key.public_key())
    public = key.public_key()
    good = signed(name, public, name, key)
    check_certificate(der(good), name, pin)
    for problem, certificate in (
        ("pins", der(signed(name, other.public_key(), name, other))),
        ("issue others", der(signed(name, public, name, key, ca=True))),
        ("issue others", der(signed(name, public, name, key, cert_sign=True))),
        ("does not say", der(signed(name, public, name, key, ca=None))),
        ("made out", der(signed("birch.example", public, "birch.example", key))),
        ("made out", der(signed(name, public, "birch.example", key))),
        ("signed by its own key", der(signed(name, public, name, other))),
        ("P-256", der(signed(name, p384.public_key(), name, p384))),
        ("P-256", der(signed(name, ed.public_key(), name, ed))),
        ("X.509", b"\x30\x00"),
        ("X.509", b""),
        ("at most", der(good) + bytes(5000)),
    ):
        with pytest.raises(CertificateError, match=problem):
            check_certificate(certificate, name, pin)
