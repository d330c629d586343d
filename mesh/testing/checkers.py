"""What must hold of every run, whatever the faults: functions from a history to a violation.

    check_safety(history)              # at any time
    check_converged(history)           # after everything that can be healed was

Each raises `ViolationError` with the name of the rule that was broken and what shows it. A checker
knows nothing of the protocol: it looks at what was told to callers and at what left the machines.
Honest members only are held to the rules; what a dishonest one says of itself is nobody's truth.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from mesh.testing.history import (
    Acknowledged,
    Certified,
    Cosigned,
    Counting,
    Forgone,
    History,
    Load,
    Receipted,
    Signed,
    Suspended,
    Withdrawn,
)


class ViolationError(AssertionError):
    """A rule that never bends was broken."""

    def __init__(self, rule: str, shown: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {shown}")


Checker = Callable[[History], None]


# --- safety: at any time


def one_content(history: History) -> None:
    """Never two certified contents at one position of a log, at any honest nodes, at any times."""
    held: dict[tuple[str, int], tuple[bytes, str]] = {}
    for fact in history.of(Certified):
        if fact.node not in history.honest:
            continue
        for index, leaf in enumerate(fact.leaves, start=fact.start):
            first, node = held.setdefault((fact.log, index), (leaf, fact.node))
            if first != leaf:
                raise ViolationError(
                    "two certified contents",
                    f"entry {index} of {fact.log} at {node} and, {fact.at:.3f} s, at {fact.node}",
                )


def quorum_behind_each(history: History) -> None:
    """Nothing counts as certified that fewer than a quorum of the members have cosigned."""
    for fact in history.of(Certified):
        if fact.node in history.honest and len(set(fact.cosigners)) < history.quorum:
            raise ViolationError(
                "certified without a quorum",
                f"{fact.log} at {fact.size}: {len(set(fact.cosigners))} of {history.quorum} "
                f"at {fact.node}, {fact.at:.3f} s",
            )


def one_history_signed(history: History) -> None:
    """No honest member signs two roots for one size of its log."""
    signed: dict[tuple[str, int], bytes] = {}
    for fact in history.of(Signed):
        first = signed.setdefault((fact.node, fact.size), fact.root)
        if fact.node in history.honest and first != fact.root:
            raise ViolationError(
                "signed two histories", f"{fact.node} at size {fact.size}, {fact.at:.3f} s"
            )


def one_history_cosigned(history: History) -> None:
    """An honest witness cosigns one root a size, only what it holds whole, only on record."""
    cosigned: dict[tuple[str, str, int], bytes] = {}
    for fact in history.of(Cosigned):
        if fact.node not in history.honest:
            continue
        where = f"{fact.node} cosigned {fact.log} at size {fact.size}, {fact.at:.3f} s"
        if cosigned.setdefault((fact.node, fact.log, fact.size), fact.root) != fact.root:
            raise ViolationError("cosigned two histories", where)
        if not fact.complete:
            raise ViolationError("cosigned without the content", where)
        if not fact.recorded:
            raise ViolationError("cosigned before it was on record", where)


def honest_never_suspended(history: History) -> None:
    """No honest member's log is suspended anywhere that is honest."""
    for fact in history.of(Suspended):
        if fact.node in history.honest and fact.log in history.honest:
            raise ViolationError(
                "an honest member was suspended", f"{fact.log} at {fact.node}, {fact.at:.3f} s"
            )


def only_certified_counts(history: History) -> None:
    """Nothing provisional ever counts, so nothing provisional ever blocks."""
    for fact in history.of(Counting):
        if fact.node in history.honest and fact.index >= fact.certified:
            raise ViolationError(
                "something provisional counts",
                f"entry {fact.index} of {fact.log} at {fact.node}, {fact.at:.3f} s, "
                f"where {fact.certified} are certified",
            )


def retracted_counts_nowhere(history: History) -> None:
    """A withdrawn entry is no source any more at who has accepted the retraction, at once, nor at
    who gave a receipt for it. Unless the retraction itself went with a disk."""
    done: dict[tuple[str, str], tuple[str, str]] = {}
    for fact in history.facts:
        match fact:
            case Receipted():
                done[fact.node, fact.target] = fact.by, "counted after its receipt"
            case Withdrawn():
                rule = fact.by, "counted after its retraction"
                done.setdefault((fact.node, fact.target), rule)
            case Forgone():
                done = {
                    where: (by, rule)
                    for where, (by, rule) in done.items()
                    if (where[0], by) != (fact.node, fact.entry_id)
                }
            case Counting() if fact.node in history.honest:
                _, broken = done.get((fact.node, fact.entry_id), ("", ""))
                if broken:
                    raise ViolationError(
                        broken, f"entry {fact.index} of {fact.log} at {fact.node}, {fact.at:.3f} s"
                    )


def forgeries_refused(history: History) -> None:
    """What was forged is accepted nowhere that is honest."""
    for node in sorted(history.honest):
        taken = history.accepted.get(node, set()) & history.forgeries
        if taken:
            raise ViolationError("a forgery was accepted", f"{min(taken)[:16]} at {node}")


def bounded(limits: Mapping[str, int]) -> Checker:
    """A checker that nothing grows past its limit, by the names of `Load`."""

    def check(history: History) -> None:
        """Memory and queues stay bounded."""
        for fact in history.of(Load):
            limit = limits.get(fact.what)
            if limit is None:
                raise ViolationError("no limit is known", f"for {fact.what}")
            if fact.amount > limit:
                raise ViolationError(
                    "something grows without bound",
                    f"{fact.what} at {fact.node}: {fact.amount} of {limit}, {fact.at:.3f} s",
                )

    return check


SAFETY: Final[tuple[Checker, ...]] = (
    quorum_behind_each,
    one_content,
    one_history_cosigned,
    one_history_signed,
    honest_never_suspended,
    only_certified_counts,
    retracted_counts_nowhere,
    forgeries_refused,
)


def check_safety(history: History) -> None:
    """All rules that hold at any time.

    :raises ViolationError: one is broken.
    """
    for checker in SAFETY:
        checker(history)


# --- liveness: at the end, when everything was healed


def nothing_lost(history: History) -> None:
    """What was acknowledged is certified, unchanged and in its place, at every live node.

    Nobody can promise that for what a machine alone held when it broke for good; there it is enough
    that all others agree (`views_agree`).
    """
    forgone = {fact.entry_id for fact in history.of(Forgone)}
    lasting = history.honest - history.gone
    for fact in history.of(Acknowledged):
        if fact.entry_id in forgone or fact.node not in lasting:
            continue
        for view in history.views.values():
            log = view.logs.get(fact.node)
            held = log.leaves[fact.index : fact.index + 1] if log else ()
            where = f"entry {fact.index} of {fact.node} at {view.node}"
            if held != (bytes.fromhex(fact.entry_id),):
                raise ViolationError("an acknowledged entry is lost", where)
            assert log is not None
            if log.certified <= fact.index:
                raise ViolationError("an acknowledged entry is not certified", where)


def views_agree(history: History) -> None:
    """All honest nodes hold the same: logs, what is certified, statuses, suspensions, sources.

    Of a suspended log nodes may hold different beginnings, for nobody follows it any more.
    """
    views = list(history.views.values())
    for view in views[1:]:
        first = views[0]
        both = f"{first.node} and {view.node}"
        for log in history.members:
            one, other = first.logs.get(log), view.logs.get(log)
            if one is None or other is None:
                if one is not other:
                    raise ViolationError("views differ", f"{both}: one lacks {log}")
                continue
            if one.evidence != other.evidence:
                raise ViolationError("views differ", f"{both}: whether {log} is suspended")
            if one.evidence:
                continue
            if one.leaves != other.leaves:
                raise ViolationError(
                    "views differ", f"{both}: {len(one.leaves)} and {len(other.leaves)} of {log}"
                )
            if one.certified != other.certified:
                raise ViolationError(
                    "views differ", f"{both}: {one.certified} and {other.certified} of {log} count"
                )
            for entry_id in one.statuses:
                if one.statuses[entry_id] != other.statuses.get(entry_id):
                    raise ViolationError(
                        "views differ",
                        f"{both}: {entry_id[:16]} of {log} is {one.statuses[entry_id]} and "
                        f"{other.statuses.get(entry_id)}",
                    )
        if first.sources != view.sources:
            tokens = sorted(
                token
                for token in {*first.sources, *view.sources}
                if first.sources.get(token) != view.sources.get(token)
            )
            one_has, other_has = first.sources.get(tokens[0]), view.sources.get(tokens[0])
            raise ViolationError(
                "views differ",
                f"{both}: the sources of {tokens[0][:16]} are {one_has} and {other_has}",
            )


def logs_certified(history: History) -> None:
    """Every honest member's log is certified to its end at every live node."""
    for view in history.views.values():
        for log in sorted(history.honest - history.gone):
            held = view.logs.get(log)
            if held is not None and held.certified < len(held.leaves):
                raise ViolationError(
                    "a log does not get certified",
                    f"{log} at {view.node}: {held.certified} of {len(held.leaves)}",
                )


LIVENESS: Final[tuple[Checker, ...]] = (nothing_lost, logs_certified, views_agree)


def check_converged(history: History) -> None:
    """All rules that hold once everything was healed.

    :raises ViolationError: one does not hold (yet).
    """
    for checker in LIVENESS:
        checker(history)


def suspected(history: History) -> dict[str, list[str]]:
    """Who is suspended by whom, for people."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for fact in history.of(Suspended):
        if fact.node not in found[fact.log]:
            found[fact.log].append(fact.node)
    return dict(found)
