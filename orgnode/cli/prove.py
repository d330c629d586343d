"""`orgnode log prove` and `orgnode log policy`: what shows others that an entry was logged.

Both write C2SP formats: whoever has a tool for transparency logs needs nothing of this project to
check that an entry is in a member's log and that a quorum of members saw it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from mesh.certificate import open_certificate
from mesh.genesis import Mesh
from mesh.verification import portable_proof
from mesh.wire import Erased, Present
from orgnode.cli.errors import CliError
from orgnode.cli.session import Json, SubData, session_of, stored_mesh
from orgnode.cli.signal_view import uncounted
from orgnode.cli.signals import SignalId
from orgnode.cli.stored import stored, stored_signal, write_new
from orgnode.cli.vocabulary import check_member
from orgnode.store import SignalRecord, Store
from proofs.merkle import inclusion_proof

QUORUM_GROUP: Final = "quorum-of-members"
"""Name of the group in a policy; no member is called so, for a member's name has a dot."""


class NotCertifiedError(CliError):
    """No quorum of members has cosigned the signal yet: nobody else could tell that it counts."""


class ContentErasedError(CliError):
    """The signal's content is not here any more; its entry can be proven without it."""


def prove(
    ctx: typer.Context,
    signal: SignalId,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="A file that is not there yet; standard output by default. Usually called "
            "NAME.tlog-proof.",
            show_default=False,
        ),
    ] = None,
    body: Annotated[
        bool,
        typer.Option(
            "--body",
            help="With the signal's content, so that what it claims can be verified too. It shows "
            "the tokens to whoever gets the file.",
        ),
    ] = False,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Write a file that proves to anybody with the genesis that a signal was published.

    A C2SP tlog-proof: the signed entry, its place in the issuer's log, and the log's checkpoint
    with the cosignatures of a quorum. Works while the node runs and while it does not. The file is
    checked with `orgnode verify FILE`, without a network. A signal that counts nowhere now
    (suspended, retracted, expired) can be proven too; standard error says so.
    """
    session = session_of(ctx)
    with stored(session) as (mesh, store):
        record = stored_signal(store, signal)
        data = proof_of(mesh, store, record, body=body)
        certificate = open_certificate(mesh, record.issuer, _certificate(store, record))
        gone = erased(store, record)
    if output is not None:
        write_new(output, data)
    doubts = uncounted(record.status, suspended=record.suspended)
    for doubt in doubts:
        session.output.notice(f"! {doubt.name}: {doubt.detail}", "bold yellow")
    if session.output.as_json:
        session.output.item(
            {
                "signal": record.id,
                "issuer": record.issuer,
                "index": record.index,
                "size": certificate.size,
                "cosigners": list(certificate.cosigners),
                "body": body,
                "status": str(record.status),
                "suspended": record.suspended,
                "erased": gone,
                **({"proof": data.decode()} if output is None else {"file": str(output)}),
            }
        )
    elif output is None:
        typer.echo(data.decode(), nl=False)
    else:
        session.output.say(f"Wrote {output}", "bold green")
        session.output.say(
            f"It shows that {record.issuer} published {record.id[:16]}, and that "
            f"{len(certificate.cosigners)} of {len(mesh.members)} members had stored it when they "
            f"cosigned{'; its content is erased since' if gone else ''}. Whoever has the genesis "
            "checks it with `orgnode verify FILE --genesis genesis.note`."
        )


def erased(store: Store, record: SignalRecord) -> bool:
    """Whether the store knows that a signal's content was erased: retracted, or expired."""
    (answer,) = store.bodies(record.issuer, record.index, record.index + 1)
    return isinstance(answer, Erased)


def proof_of(mesh: Mesh, store: Store, record: SignalRecord, *, body: bool = False) -> bytes:
    """The portable proof of a stored signal.

    :raises NotCertifiedError: no certificate covers it yet.
    :raises ContentErasedError: its body is wanted and is not here.
    """
    issuer, index = record.issuer, record.index
    note = _certificate(store, record)
    size = store.certified_size(issuer)
    answer = None
    if body:
        answer = store.bodies(issuer, index, index + 1)[0]
        if not isinstance(answer, Present):
            raise ContentErasedError(
                f"the content of {record.id[:16]} was erased ({record.status})",
                hint="leave --body out: that it was published can still be proven",
            )
    path = inclusion_proof(index, size, lambda nodes: store.nodes(issuer, nodes))
    entry = store.entries(issuer, index, index + 1)[0]
    return portable_proof(mesh, issuer, entry, answer, index, path, note)


def _certificate(store: Store, record: SignalRecord) -> bytes:
    note = store.certificate(record.issuer)
    if note is None or store.certified_size(record.issuer) <= record.index:
        raise NotCertifiedError(
            f"no quorum of members has cosigned {record.id[:16]} of {record.issuer} yet",
            hint="try again in some seconds; `orgnode peers` shows who does not answer",
        )
    return note


def policy(
    ctx: typer.Context,
    member: Annotated[str, typer.Argument(help="Whose log.", metavar="MEMBER")],
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Print what other tools need to check a member's log: its key, and who cosigns it.

    Lines of C2SP tlog-policy, from the genesis.
    """
    session = session_of(ctx)
    mesh = stored_mesh(session)
    check_member(member, [card.name for card in mesh.members])
    text = policy_of(mesh, member)
    if session.output.as_json:
        session.output.item({"member": member, "policy": text})
    else:
        typer.echo(text, nl=False)


def policy_of(mesh: Mesh, member: str) -> str:
    """The C2SP tlog-policy for a member's log: q of all members, the owner among them.

    No URLs: members answer members only.
    """
    cards = mesh.members
    return "\n".join(
        [
            f"# the log of {member} in the mesh {mesh.mesh_id}",
            f"log {mesh.log_key(member).encode()}",
            *(f"witness {card.name} {card.witness_key.encode()}" for card in cards),
            f"group {QUORUM_GROUP} {mesh.constraints.quorum} "
            + " ".join(card.name for card in cards),
            f"quorum {QUORUM_GROUP}",
            "",
        ]
    )
