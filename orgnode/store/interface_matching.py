"""What a store offers to matching and to a seat of the committee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mesh.days import Day
from orgnode.store.records_matching import Misconduct, Promotion, TokenSource


class MatchStore(Protocol):
    """Who holds which token, and what is promoted. Follows from the entries, in their commit.

    Only live, certified signals count, and certified sightings and promotions. Of logs with
    evidence against them no signal or sighting does. Their promotions stay: scalars that were
    public once do not become secret again. A signal does not hold tokens that its log withdrew
    shortly before it (`Constraints.cooldown_days`), whatever it says. Tokens, inputs and ids are
    hex; what is no digest is not known.
    """

    def sources(self, tokens: Sequence[str]) -> dict[str, list[TokenSource]]:
        """The signals that hold these tokens; only known tokens are in the answer.

        Should the tokens be held more than a thousand times, of each log only the oldest and the
        newest signals are told.
        """
        ...

    def promotions(self, inputs: Sequence[str]) -> dict[str, list[Promotion]]:
        """Promotions of these windows, by input, oldest first, with what is live of their evidence.

        A signal that a promotion names counts only while it is live and if it holds the token. Of
        each log the first few promotions of a window are stored, and later ones are not.
        """
        ...

    def promoted_tokens(self, tokens: Sequence[str]) -> set[str]:
        """Those of the tokens that logs without evidence against them promoted, on any evidence."""
        ...

    def promotable(self, others: int, limit: int = 1_000) -> list[tuple[str, str]]:
        """Tokens of own live signals that at least `others` other logs hold, and not promoted.

        A promotion on the evidence of fewer than three members, or of a log with evidence against
        it, does not count here: a member could otherwise keep a token from being promoted rightly.
        Each with the id of the newest own signal that holds it; newest first. Control groups are
        the caller's to count.
        """
        ...

    def sharing(self, entry_id: str, limit: int = 100) -> list[tuple[str, str, int]]:
        """Signals that share tokens with a live signal: issuer, id, and how many; most first."""
        ...


class CommitteeStore(Protocol):
    """What a seat counts and keeps."""

    async def charge_saved(self, day: Day, asker: str, elements: int) -> None:
        """Keep how many elements were evaluated for a member on a day; it never shrinks."""
        ...

    def charges(self, day: Day) -> dict[str, int]:
        """For each member that asked on a day, how many elements were evaluated."""
        ...

    async def trim_charges(self, before_day: Day) -> int:
        """Forget the counts of the days before; returns how many."""
        ...

    async def keep_misconduct(self, proof: Misconduct) -> bool:
        """Keep the proof of a wrong answer for ever, and tell the feed.

        False if it is kept already, or enough of this member and kind are.
        """
        ...

    def misconduct(self, limit: int = 100) -> list[Misconduct]:
        """Proofs kept, newest first."""
        ...
