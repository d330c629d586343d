"""`orgnode log …`; here `verify`: recompute everything that the stored logs claim, from the bytes.

Entries against roots, roots against the owners' signatures, certificates against the members'
cosignatures, and severity proofs if asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from mesh.assessment import Outcome, assess
from mesh.certificate import open_certificate
from mesh.claims import Claim, verify_claims
from mesh.errors import MeshError
from mesh.genesis import Mesh
from mesh.wire import Missing, Present
from orgnode.cli.errors import NotValidError
from orgnode.cli.prove import policy, prove
from orgnode.cli.render import Cell, progress
from orgnode.cli.session import Json, Session, SubData, session_of
from orgnode.cli.stored import DAMAGED_HINT, stored
from orgnode.cli.vocabulary import check_member
from orgnode.store import EntryRecord, Store
from proofs.checkpoint import open_checkpoint
from proofs.errors import ProofsError
from proofs.frontier import Frontier, leaf_hash
from proofs.severity import BATCH_ENTROPY

app = typer.Typer(
    help="Look after the stored logs, and prove to others what is in them.", no_args_is_help=True
)
app.command()(prove)
app.command()(policy)

CHUNK = 256
PROOF_BATCH = 128
ALL = 2**31 - 1

SUSPENDED: Final = "! suspended: it showed two histories; see `orgnode evidence`"


class LogNotValidError(NotValidError):
    """A stored log does not hash to what its owner signed, or a stored proof does not hold."""


@dataclass
class Audit:
    """What verifying one stored log showed."""

    log: str
    entries: int = 0
    checkpoints: int = 0
    certified: int = 0
    proofs: int | None = None
    suspended: str | None = None
    """Kind of the evidence against its owner; what is stored of it may be sound all the same."""
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "log": self.log,
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "certified": self.certified,
            "proofs": self.proofs,
            "valid": not self.faults,
            "suspended": self.suspended,
            "faults": self.faults,
        }


@app.command()
def verify(
    ctx: typer.Context,
    peer: Annotated[
        str | None, typer.Option(help="Only this member's log; all by default.", show_default=False)
    ] = None,
    proofs: Annotated[
        bool,
        typer.Option("--proofs", help="Verify every stored severity proof again; takes longer."),
    ] = False,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Hash the stored entries again and compare with the signed and cosigned checkpoints.

    Works while the node runs and while it does not. Exit code 4 if anything does not hold. That a
    member is suspended, for it showed two histories, is told and is no fault of what is stored.
    """
    session = session_of(ctx)
    with stored(session) as (mesh, store):
        if peer is not None:
            check_member(peer, [card.name for card in mesh.members])
        names = [peer] if peer else [card.name for card in mesh.members]
        audits = [_audited(session, store, mesh, name, proofs) for name in names]
    session.output.rows(
        ("log", "entries", "checkpoints", "certified", "proofs", "result"),
        [audit.to_json() for audit in audits],
        [_row(audit) for audit in audits],
        right="entries,checkpoints,certified,proofs",
        prose="result",
    )
    bad = [audit for audit in audits if audit.faults]
    if bad:
        raise LogNotValidError(
            "; ".join(f"{audit.log}: {fault}" for audit in bad for fault in audit.faults[:5]),
            hint=DAMAGED_HINT,
        )


def _row(audit: Audit) -> list[Cell]:
    return [
        audit.log,
        audit.entries,
        audit.checkpoints,
        audit.certified,
        "not asked" if audit.proofs is None else audit.proofs,
        _result(audit),
    ]


def _result(audit: Audit) -> Text:
    held = Text("✗ NOT VALID", "bold red") if audit.faults else Text("✓ valid", "green")
    if audit.suspended is None:
        return held
    return Text("\n").join([held, Text(SUSPENDED, "bold yellow")])


def _audited(session: Session, store: Store, mesh: Mesh, name: str, proofs: bool) -> Audit:
    size = store.state(name).size
    with progress(session.output.err, quiet=session.output.as_json) as bar:
        task = bar.add_task(name, total=size * (2 if proofs else 1))
        return audit(store, mesh, name, proofs=proofs, advance=lambda n: bar.advance(task, n))


def audit(
    store: Store,
    mesh: Mesh,
    name: str,
    *,
    proofs: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Verify one stored log: entries against roots, roots against signatures, and the proofs.

    `advance` is told how many entries were worked through.
    """
    result = Audit(log=name)
    state = store.state(name)
    signed = _signed_roots(store, mesh, name, result)
    _add_certified_root(store, mesh, name, signed, result)
    frontier = Frontier()
    result.checkpoints += _matches(signed, frontier, result)
    for start in range(0, state.size, CHUNK):
        end = min(start + CHUNK, state.size)
        leaves = [leaf_hash(note) for note in store.entries(name, start, end)]
        if leaves != store.leaves(name, start, end):
            result.faults.append(f"entries {start} to {end - 1} do not hash to their stored ids")
        # Checkpoints end anywhere inside the chunk.
        for size in sorted(size for size in signed if start < size <= end):
            frontier = frontier.extend(leaves[frontier.size - start : size - start])
            result.checkpoints += _matches(signed, frontier, result)
        frontier = frontier.extend(leaves[frontier.size - start :])
        result.entries = end
        advance(end - start)
    if frontier != state.frontier:
        result.faults.append("the entries do not hash to the stored state of the log")
    if state.evidence is not None:
        result.suspended = str(state.evidence.kind)
    if proofs:
        _verify_proofs(store, mesh, name, state.size, result, advance)
    return result


def _signed_roots(store: Store, mesh: Mesh, name: str, result: Audit) -> dict[int, bytes]:
    """Size and root of every stored checkpoint whose signature holds."""
    key = mesh.log_key(name)
    signed: dict[int, bytes] = {}
    for record in store.checkpoints(name, ALL):
        try:
            checkpoint = open_checkpoint(record.note, key)
        except (MeshError, ProofsError) as error:
            result.faults.append(
                f"the checkpoint of size {record.size}: {type(error).__name__}: {error}"
            )
            continue
        if (checkpoint.size, checkpoint.root) != (record.size, record.root):
            result.faults.append(
                f"the checkpoint of size {record.size} was signed for another tree"
            )
        signed[checkpoint.size] = checkpoint.root
    return signed


def _add_certified_root(
    store: Store, mesh: Mesh, name: str, signed: dict[int, bytes], result: Audit
) -> None:
    """Put the size and root that a quorum cosigned to those that the owner signed."""
    note = store.certificate(name)
    if note is None:
        return
    try:
        certificate = open_certificate(mesh, name, note)
    except (MeshError, ProofsError) as error:
        result.faults.append(f"the certificate: {type(error).__name__}: {error}")
        return
    if certificate.size != store.certified_size(name):
        result.faults.append(f"the certificate is of {certificate.size} entries")
    if signed.setdefault(certificate.size, certificate.root) != certificate.root:
        result.faults.append(f"members cosigned another tree of {certificate.size} entries")
    result.certified = certificate.size


def _matches(signed: dict[int, bytes], frontier: Frontier, result: Audit) -> int:
    root = signed.get(frontier.size)
    if root is None:
        return 0
    if root != frontier.root():
        result.faults.append(
            f"the first {frontier.size} entries do not hash to the root that was signed for them"
        )
        return 0
    return 1


def _verify_proofs(
    store: Store,
    mesh: Mesh,
    name: str,
    size: int,
    result: Audit,
    advance: Callable[[int], None],
) -> None:
    result.proofs = 0
    for start in range(0, size, PROOF_BATCH):
        end = min(start + PROOF_BATCH, size)
        batch = list(_claims(store, mesh, name, start, end, result))
        verdicts = verify_claims([claim for _, claim in batch], os.urandom(BATCH_ENTROPY))
        for (record, _), verdict in zip(batch, verdicts, strict=True):
            if verdict is None:
                result.proofs += 1
            else:
                result.faults.append(f"entry {record.index}: {type(verdict).__name__}: {verdict}")
        advance(end - start)


def _claims(
    store: Store, mesh: Mesh, name: str, start: int, end: int, result: Audit
) -> Iterator[tuple[EntryRecord, Claim]]:
    """The claims of the accepted signals that still have their content."""
    member = mesh.member(name)
    records = store.records(name, start, end)
    notes, bodies = store.entries(name, start, end), store.bodies(name, start, end)
    for record, note, answer in zip(records, notes, bodies, strict=True):
        if record.outcome is not Outcome.ACCEPTED or record.day is None:
            continue
        if isinstance(answer, Missing):
            result.faults.append(f"entry {record.index}: its body is gone")
        if not isinstance(answer, Present):
            continue  # erased lawfully, by a retraction for one
        # As of the day that it was dated: expiry is not what is verified here.
        found = assess(mesh, member, record.index, note, answer, record.day)
        if found.outcome is not Outcome.ACCEPTED:
            result.faults.append(f"entry {record.index}: {found.error}: {found.reason}")
        elif found.claim is not None:
            yield record, found.claim
