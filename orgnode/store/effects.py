"""What an entry's outcome leads to: at once, and from when it is certified on.

A retraction and evidence take effect when they are accepted. A signal is stored then, provisional;
that it counts, as sightings and promotions do, follows once a certificate covers it: see
`orgnode.store.certifying`, which reads what is needed from the stored bodies.
"""

from __future__ import annotations

from collections.abc import Sequence

from mesh.evidence import Evidence
from mesh.outcome import Outcome
from mesh.promotion import PromotedWindow
from orgnode.store import cooldown_rows, opinion_rows, promotion_rows, token_rows
from orgnode.store.context import Context, log_id
from orgnode.store.erasing import erase, lapse
from orgnode.store.records import LogRow, SignalStatus


def follow_up(context: Context, entry: int, row: LogRow) -> None:
    """What an entry that is judged leads to now: content, effects, and its event."""
    if row.outcome is Outcome.REFUSED:
        context.event("refused", entry, detail=f"{row.error}\n{row.reason}")
    elif row.outcome is not Outcome.ACCEPTED:
        return
    elif row.signal is not None:
        _put_signal(context, entry, row)
    elif row.retracts is not None:
        _retract(context, entry, row)
    elif row.evidence is not None:
        _accuse(context, entry, row.evidence)
    elif row.index < context.certified:
        if row.sighting is not None:
            count_sighting(context, entry, row.sighting.target, row.sighting.verdict)
        elif row.promotion is not None:
            count_promotion(context, entry, row.promotion.windows)


def count_signal(
    context: Context,
    entry: int,
    leaf: bytes,
    day: int,
    band: int,
    category: str,
    tokens: Sequence[bytes],
) -> None:
    """Let a live, certified signal count from now on, with what was said of it before."""
    connection = context.connection
    connection.execute("UPDATE signal SET live_since = ? WHERE entry = ?", (context.now, entry))
    context.tokens[entry] = cooldown_rows.without_paused(context, entry, day, tokens)
    context.event("signal", entry, band, category)
    for log, verdict in connection.execute(
        "SELECT log, verdict FROM sighting WHERE target = ? AND log <> ? ORDER BY entry",
        (leaf, context.log),
    ).fetchall():
        context.event("sighting", entry, band, category, verdict, log=log)


def count_sighting(context: Context, entry: int, target: str, verdict: str) -> None:
    """Let a member's word count; it is news only about what counts, and never about its own."""
    leaf = bytes.fromhex(target)
    if not opinion_rows.put_sighting(context.connection, context.log, entry, leaf, verdict):
        return
    signal = context.connection.execute(
        "SELECT s.entry, s.band, s.category FROM entry e JOIN signal s ON s.entry = e.id"
        " JOIN log l ON l.id = e.log"
        " WHERE e.leaf = ? AND e.log <> ? AND s.status = 'live' AND e.idx < l.certified",
        (leaf, context.log),
    ).fetchone()
    if signal is not None:
        # Otherwise not so far: `count_signal` finds the sighting when the signal is.
        context.event("sighting", signal[0], signal[1], signal[2], verdict)


def count_promotion(context: Context, entry: int, windows: Sequence[PromotedWindow]) -> None:
    """Let a promotion count."""
    promotion_rows.put(context.connection, context.own, context.log, entry, context.now, windows)
    context.event("promotion", entry, detail=str(len(windows)))


def suspend(context: Context, log: int, evidence: Evidence) -> None:
    """Keep evidence against a log, if it is the first."""
    suspended = context.connection.execute(
        "UPDATE log SET evidence = ? WHERE id = ? AND evidence IS NULL", (evidence.to_json(), log)
    ).rowcount
    if suspended:
        context.event("evidence", None, detail=f"{evidence.kind}\n{evidence.reason}", log=log)
        promotion_rows.note_suspension(context.connection, log)


def _put_signal(context: Context, entry: int, row: LogRow) -> None:
    signal = row.signal
    assert signal is not None
    assert row.day is not None
    derived = None if signal.derived_from is None else bytes.fromhex(signal.derived_from)
    band, category = signal.severity.band, signal.category
    context.connection.execute(
        "INSERT INTO signal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (
            entry,
            context.log,
            band,
            category,
            SignalStatus.LIVE,
            signal.technique,
            signal.confidence,
            signal.direct,
            derived,
            signal.barrier,
            row.leaf,
        ),
    )
    if row.index < context.certified:
        tokens = [bytes.fromhex(token) for token in signal.tokens]
        count_signal(context, entry, row.leaf, row.day, band, category, tokens)
    else:
        context.event("provisional", entry, band, category, provisional=True)


def _retract(context: Context, entry: int, row: LogRow) -> None:
    connection = context.connection
    assert row.retracts is not None
    assert row.day is not None
    target = bytes.fromhex(row.retracts)
    new = connection.execute(
        "INSERT INTO retraction VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (context.log, target, entry, row.retraction_reason),
    ).rowcount
    if not new:
        return
    # A copy of the signal further behind in the log was refused.
    found = connection.execute(
        "SELECT e.id, e.idx, e.outcome, e.retry, s.band, s.category"
        " FROM entry e LEFT JOIN signal s ON s.entry = e.id"
        " WHERE e.leaf = ? AND e.log = ? AND e.kind = 'signal' ORDER BY e.idx LIMIT 1",
        (target, context.log),
    ).fetchone()
    if found is None:
        return
    signal, index, outcome, retry, band, category = found
    if retry:
        lapse(context, signal, Outcome(outcome), "its log retracts it, and its body was erased")
    elif band is not None:
        withdrawn = token_rows.of_live(connection, signal)
        erase(context, signal, SignalStatus.RETRACTED)
        cooldown_rows.put(context, entry, row.day, withdrawn)
        context.event(
            "retraction",
            signal,
            band,
            category,
            row.retraction_reason,
            provisional=index >= context.certified,
        )


def _accuse(context: Context, entry: int, evidence: Evidence) -> None:
    context.connection.execute(
        "INSERT INTO accusation VALUES (?, ?, ?) ON CONFLICT (log, accused)"
        " DO UPDATE SET entry = max(entry, excluded.entry)",
        (context.log, evidence.log, entry),
    )
    suspend(context, log_id(context.connection, evidence.log), evidence)
