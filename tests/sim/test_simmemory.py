"""What is computed once is what would be computed each time, and nobody can tell."""

import asyncio
from random import Random

import pytest

import mesh.certificate
import orgnode.federation.held
import proofs.ed25519
import proofs.note
from mesh.following import FollowerState
from mesh.testing import OrgLog, make_mesh
from mesh.testing.virtualtime import VirtualLoop
from orgnode.store import StoreClosedError
from orgnode.testing.plantedbugs import PLANTED
from orgnode.testing.simdisk import SimDisk
from orgnode.testing.simmemory import computed_once
from orgnode.testing.simnode import blank_database
from orgnode.testing.simplan import draw_plan
from orgnode.testing.simstore import NOWHERE, SimStore
from orgnode.testing.simulated import simulate
from proofs.note import NoteFormatError

WORLD = make_mesh(4)
NAME = WORLD.members[0].name


def test_a_signature_is_verified_once_and_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    public, message = proofs.ed25519.public_key(bytes(32)), b"said at this moment"
    with computed_once():
        true = proofs.ed25519.sign(bytes(32), message)
        assert proofs.ed25519.verify(public, message, true)
        assert not proofs.ed25519.verify(public, b"else", true)
        assert not proofs.ed25519.verify(public, message, bytes(64))

        def unasked(*_: object) -> bytes:
            raise AssertionError("it was asked again")

        monkeypatch.setattr(proofs.ed25519, "crypto_sign_open", unasked)
        assert proofs.ed25519.verify(public, message, true)
        assert not proofs.ed25519.verify(public, b"else", true)


def test_every_module_is_put_back() -> None:
    before = proofs.note.parse_note, mesh.certificate.open_certificate
    with computed_once():
        assert proofs.note.parse_note is not before[0]
        assert mesh.certificate.parse_note is proofs.note.parse_note  # type: ignore[attr-defined]
    assert (proofs.note.parse_note, mesh.certificate.open_certificate) == before
    assert mesh.certificate.parse_note is before[0]  # type: ignore[attr-defined]


def test_what_is_refused_is_refused_each_time() -> None:
    with computed_once():
        for _ in range(2):
            with pytest.raises(NoteFormatError):
                proofs.note.parse_note(b"no note")


def test_what_is_of_another_mesh_is_another_thing() -> None:
    log = OrgLog(WORLD, NAME)
    log.append_signals(2)
    note = log.certificate()
    with computed_once():
        first = mesh.certificate.open_certificate(WORLD.mesh, NAME, note)
        assert mesh.certificate.open_certificate(WORLD.mesh, NAME, note) is first
        other = make_mesh(5).mesh
        with pytest.raises(mesh.certificate.CertificateError):
            mesh.certificate.open_certificate(other, other.members[0].name, note)


def test_a_planted_bug_stays_planted() -> None:
    with PLANTED["certificates unchecked"].plant():
        planted = vars(orgnode.federation.held)["open_certificate"]
        with computed_once():
            assert vars(orgnode.federation.held)["open_certificate"] is planted
        assert vars(orgnode.federation.held)["open_certificate"] is planted


def test_a_run_is_the_same_with_each_thing_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw_plan(3)
    known = simulate(plan)
    monkeypatch.setattr("orgnode.testing.simmemory._uses", list)
    monkeypatch.setattr(SimStore, "answers", _Forgetful(), raising=False)
    again = simulate(plan)
    assert (again.trace, again.rule) == (known.trace, known.rule)


class _Forgetful:
    """In the place of what a store has read: nothing."""

    def __get__(self, instance: object, owner: object) -> dict[object, object]:
        return {}

    def __set__(self, instance: object, value: object) -> None:
        return None


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(VirtualLoop(), Random(0), blank_database(NAME, WORLD.mesh.mesh_id))


def opened(disk: SimDisk) -> SimStore:
    return SimStore.open(
        NOWHERE,
        name=NAME,
        mesh_id=WORLD.mesh.mesh_id,
        clock=lambda: 0.0,
        writer=disk.writer,
        connect=disk.connect,
        synchronous="OFF",
    )


def test_a_store_reads_again_what_was_written(disk: SimDisk) -> None:
    store = opened(disk)
    log = OrgLog(WORLD, NAME)

    async def main() -> None:
        assert store.state(NAME) is store.state(NAME)
        assert (store.state(NAME).target, store.meta("key")) == (None, None)
        state = FollowerState.empty()
        log.append_signals(1)
        note = log.checkpoint()
        await store.save_state(NAME, FollowerState(0, state.frontier, None, note))
        assert store.state(NAME).target == note
        await store.set_meta("key", b"value")
        assert store.meta("key") == b"value"

    disk._loop.run(main())


def test_what_a_caller_does_to_an_answer_is_its_own_affair(disk: SimDisk) -> None:
    store = opened(disk)
    store.vector().append("nonsense")  # type: ignore[arg-type]
    assert store.vector() == []


def test_a_closed_store_answers_nothing(disk: SimDisk) -> None:
    store = opened(disk)
    assert store.certified_size(NAME) == 0
    store.abandon()
    for read in (lambda: store.certified_size(NAME), store.logs, lambda: store.nodes(NAME, [])):
        with pytest.raises(StoreClosedError):
            read()
    with pytest.raises(StoreClosedError):
        asyncio.run(store.set_meta("key", b""))
    again = opened(disk)
    assert again.certified_size(NAME) == 0
