"""`orgnode genesis propose`, `keygen` and `create`: founders make the mesh's keys together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from mesh.constraints import (
    MAX_COOLDOWN_DAYS,
    MAX_DAILY_QUOTA,
    MAX_EVALUATION_BUDGET,
    MIN_DAILY_QUOTA,
    MIN_EVALUATION_BUDGET,
    MIN_MEMBERS,
    MatchingRule,
)
from mesh.errors import MeshError
from mesh.fingerprint import parse_corpus
from mesh.genesis import mesh_id_of, read_genesis
from mesh.keygen import ProposalError
from mesh.member import open_card
from orgnode.ceremony import (
    BENIGN,
    GENESIS,
    PROPOSAL,
    TRANSCRIPT,
    Standing,
    check_usable,
    conclude,
    propose_ceremony,
    take_part,
)
from orgnode.cli.errors import CliError, UsageProblemError
from orgnode.cli.genesis_view import show_disputed, show_rules, standing_json, summary
from orgnode.cli.render import clean, fields
from orgnode.cli.session import (
    Json,
    PassphraseFile,
    Session,
    SubData,
    open_keys,
    session_of,
)
from orgnode.datadir import write_file
from orgnode.founding import (
    Rules,
    draft,
    packaged_benign,
    read_genesis_file,
    read_given_file,
)
from proofs.errors import ProofsError
from proofs.note import parse_note

DEFAULTS = Rules()

_FLOORS = "each rule has a floor and a ceiling that no mesh can lift; leave it out for the default"


class OutputExistsError(CliError):
    """A file of this name is there already; another mesh's genesis might be lost."""


class NotACardError(CliError):
    """A file that was given as a founder's card is none, or was changed."""


Without = Annotated[
    list[str],
    typer.Option(
        metavar="NAME",
        help="Do not wait for this founder, who gets no seat without its notes.",
        show_default=False,
    ),
]
CeremonyDir = Annotated[
    Path, typer.Argument(help="Directory of the key generation.", metavar="DIR")
]


def propose(
    ctx: typer.Context,
    cards: Annotated[
        list[Path], typer.Argument(help="Every founder's card.note.", metavar="CARD...")
    ],
    mesh_name: Annotated[str, typer.Option(help="What people call the mesh.")],
    out: Annotated[Path, typer.Option(help="Directory for the founding's files.", metavar="DIR")],
    seat: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="A member of the committee that holds the key; by default all, at most 9.",
            show_default=False,
        ),
    ] = [],  # noqa: B006 - the command-line library's way
    attempt: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Raise it to generate keys anew among the same founders."
        ),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Propose who generates the mesh's keys, from the founders' cards."""
    session = session_of(ctx)
    if len(cards) < MIN_MEMBERS:
        raise UsageProblemError(
            f"a mesh has at least {MIN_MEMBERS} founders",
            hint="give every founder's card.note; for production four or more",
        )
    read = [read_given_file(card) for card in cards]
    names: set[str] = set()
    for path, card in zip(cards, read, strict=True):
        try:
            name = open_card(card).name
        except (MeshError, ProofsError) as error:
            raise NotACardError(
                f"{path} is no member card: {error}",
                hint="give the card.note that `orgnode init` made, unchanged",
            ) from None
        if name in names:
            raise ProposalError(f"{path} is a second card of {name}: give one of each founder")
        names.add(name)
    proposal = propose_ceremony(out, mesh_name, read, seats=seat or None, attempt=attempt)
    path = out / PROPOSAL
    if session.output.as_json:
        session.output.item(
            {
                "mesh_name": proposal.name,
                "ceremony": proposal.ceremony,
                "members": list(proposal.names),
                "seats": list(proposal.seats),
                "threshold": proposal.threshold,
                "proposal": str(path),
            }
        )
        return
    session.output.say(f"Proposed {proposal.name}: {path}", "bold green")
    session.output.show(
        fields(
            [
                ("founders", ", ".join(proposal.names)),
                ("committee", ", ".join(proposal.seats)),
                ("threshold", f"{proposal.threshold} of {len(proposal.seats)}"),
                ("ceremony", proposal.ceremony),
            ]
        )
    )
    session.output.show(
        Text(
            f"\nNext: share {out} with every founder (a common directory, or copies of it).\n"
            f"Each runs, until it says that all is there:\n"
            f"  orgnode genesis keygen {out}"
        )
    )


def keygen(
    ctx: typer.Context,
    directory: CeremonyDir,
    without: Without = [],  # noqa: B006
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Take part in generating the mesh's keys: first deal, then judge the others' deals.

    Run it again whenever others' files have come; what is done is not done twice.
    """
    session = session_of(ctx)
    session.datadir.check_exists()
    standing = take_part(
        session.datadir, directory, open_keys(session, passphrase_file), without=without
    )
    if session.output.as_json:
        session.output.item(standing_json(standing))
    else:
        _show_standing(session, standing, directory, without)
    check_usable(directory, standing.unusable, without)


def _show_standing(
    session: Session, standing: Standing, directory: Path, without: list[str]
) -> None:
    output, proposal = session.output, standing.proposal
    for path in standing.wrote:
        output.say(f"Wrote {path}", "bold green")
    output.show(
        fields(
            [
                ("mesh", proposal.name),
                ("ceremony", proposal.ceremony),
                ("deals", _tally(proposal.seats, standing.missing_deals)),
                ("verdicts", _tally(proposal.names, standing.missing_verdicts)),
            ]
        )
    )
    for name, why in standing.faults.items():
        output.notice(f"! {name} is left out of the committee: {clean(why)}", "bold yellow")
    show_disputed(output, standing.disputed)
    for name in standing.strays:
        output.notice(f"! {clean(name)} is no founder's file, and was not looked at", "yellow")
    again = f"orgnode genesis keygen {directory}" + "".join(f" --without {n}" for n in without)
    if standing.missing_deals:
        output.say(
            f"\nNext: pass your deal on; once the deals of {', '.join(standing.missing_deals)} "
            f"are in {directory}, run again:\n  {again}\n"
            "Whoever stays silent is left out with --without NAME, and gets no seat"
        )
    elif standing.missing_verdicts:
        output.say(
            f"\nNext: pass your verdict on, and wait for those of "
            f"{', '.join(standing.missing_verdicts)}. Then one of you runs:\n"
            f"  orgnode genesis create {directory}"
        )
    else:
        output.say(f"\nAll is there. Next, one of you: orgnode genesis create {directory}")


def _tally(founders: tuple[str, ...], missing: tuple[str, ...]) -> str:
    if not missing:
        return "all are there"
    return f"{len(founders) - len(missing)} of {len(founders)}; missing: {', '.join(missing)}"


def create(
    ctx: typer.Context,
    directory: CeremonyDir,
    without: Without = [],  # noqa: B006
    benign: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Benign corpus (JSONL, one string a line) whose windows never count; by default "
            "the one that comes with this program.",
            show_default=False,
        ),
    ] = None,
    no_benign: Annotated[bool, typer.Option("--no-benign", help="Pin no benign corpus.")] = False,
    escalate_tokens: Annotated[
        int, typer.Option(metavar="N", help="Known windows from which a match escalates.")
    ] = DEFAULTS.matching.escalate_tokens,
    block_tokens: Annotated[
        int, typer.Option(metavar="N", help="Known windows from which a match may block.")
    ] = DEFAULTS.matching.block_tokens,
    block_sources: Annotated[
        int, typer.Option(metavar="N", help="Independent sources that each of them needs.")
    ] = DEFAULTS.matching.block_sources,
    shadow_seconds: Annotated[
        int, typer.Option(metavar="N", help="How old a source must be to count for blocking.")
    ] = DEFAULTS.matching.shadow_seconds,
    evaluation_budget: Annotated[
        int,
        typer.Option(
            metavar="N", help="Windows a day that each member may ask each committee seat about."
        ),
    ] = DEFAULTS.evaluation_budget,
    daily_quota: Annotated[
        int, typer.Option(metavar="N", help="Entries a day that each member may publish.")
    ] = DEFAULTS.daily_quota,
    cooldown_days: Annotated[
        int,
        typer.Option(
            metavar="N", help="Days after a retraction before the same windows count again."
        ),
    ] = DEFAULTS.cooldown_days,
    passphrase_file: PassphraseFile = None,
    data_dir: SubData = None,
    as_json: Json = False,
) -> None:
    """Draft the genesis from a finished key generation, unsigned: genesis.note and transcript."""
    session = session_of(ctx)
    if benign is not None and no_benign:
        raise UsageProblemError(
            "--benign and --no-benign contradict each other", hint="give one of them"
        )
    matching = _matching_rule(
        escalate_tokens=escalate_tokens,
        block_tokens=block_tokens,
        block_sources=block_sources,
        shadow_seconds=shadow_seconds,
    )
    corpus = None if no_benign else packaged_benign() if benign is None else _corpus(benign)
    rules = Rules(
        matching=matching,
        evaluation_budget=_within(
            "evaluation_budget", evaluation_budget, MIN_EVALUATION_BUDGET, MAX_EVALUATION_BUDGET
        ),
        benign=corpus,
        daily_quota=_within("daily_quota", daily_quota, MIN_DAILY_QUOTA, MAX_DAILY_QUOTA),
        cooldown_days=_within("cooldown_days", cooldown_days, 0, MAX_COOLDOWN_DAYS),
    )
    session.datadir.check_exists()
    keystore = open_keys(session, passphrase_file)
    machine = conclude(session.datadir, directory, keystore, without=without)
    outcome = machine.outcome()
    text = draft(machine.proposal, outcome, rules)
    genesis = directory / GENESIS
    if genesis.exists() and _text_of(genesis) != text:
        raise OutputExistsError(
            f"{genesis} exists already, with other rules or another committee",
            hint="founders may have signed it; move it away to draft another one",
        )
    written = [(TRANSCRIPT, outcome.transcript)]
    written += [] if corpus is None else [(BENIGN, corpus)]
    # The genesis last, for it names the others; one that is there may carry signatures already.
    written += [] if genesis.exists() else [(GENESIS, text.encode())]
    for name, data in written:
        write_file(directory / name, data, private=False)
    constraints = read_genesis(text)
    if session.output.as_json:
        session.output.item(
            {
                "mesh": mesh_id_of(text),
                **summary(constraints, outcome),
                "genesis": str(genesis),
                "transcript": str(directory / TRANSCRIPT),
                "benign": None if corpus is None else str(directory / BENIGN),
            }
        )
        return
    show_rules(session.output, constraints, mesh_id_of(text), outcome)
    session.output.show(
        Text(
            f"\nWrote {', '.join(name for name, _ in written)} in {directory}.\n"
            f"Next, with these files at every founder:\n"
            f"  1. Each signs the rules:  orgnode genesis sign {genesis}\n"
            f"  2. Each joins, with all signed copies:  orgnode genesis join {genesis}"
        )
    )


def _matching_rule(**numbers: int) -> MatchingRule:
    """The rule, or an error that names the option at fault."""
    try:
        return MatchingRule(**numbers)
    except MeshError as error:
        found = re.search(r"field '(\w+)': (.*)", str(error))
        if found is None:
            raise UsageProblemError(str(error).replace("_", "-"), hint=_FLOORS) from None
        raise _out_of_range(found[1], numbers.get(found[1], 0), found[2]) from None


def _within(name: str, number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise _out_of_range(name, number, f"from {least:,} to {most:,}")
    return number


def _out_of_range(name: str, number: int, why: str) -> UsageProblemError:
    return UsageProblemError(f"--{name.replace('_', '-')} {number}: {why}", hint=_FLOORS)


def _corpus(path: Path) -> bytes:
    data = read_given_file(path)
    parse_corpus(data)
    return data


def _text_of(genesis: Path) -> str:
    copy = read_genesis_file(genesis)
    return copy if isinstance(copy, str) else parse_note(copy).text
