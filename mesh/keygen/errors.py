"""What can be wrong with a key generation, its proposal, its notes and its transcript."""

from collections.abc import Mapping

from mesh.errors import MeshError


class KeygenError(MeshError):
    """A key generation can't go on, or something handed to it does not hold."""


class ProposalError(KeygenError):
    """A proposal of a key generation does not hold, or is not in its canonical encoding."""


class SeatError(ProposalError):
    """The seats of a committee are too few, too many, or not members'."""


class UnknownFounderError(KeygenError):
    """Somebody who is not in the proposal takes part."""


class NotADealerError(KeygenError):
    """A founder without a seat in the committee deals: only the committee's founders do."""


class FounderKeyError(KeygenError):
    """A private key is not the one on the founder's card."""


class NothingToJudgeError(KeygenError):
    """A verdict before there is any deal: receive the deals first."""


class KeygenNoteError(KeygenError):
    """A note does not count in this key generation. The notes received before still do."""


class KeygenFormatError(KeygenNoteError):
    """A note's fields are not exactly those of a deal or a verdict."""


class ForeignCeremonyError(KeygenNoteError):
    """A note of another key generation: replaying it here must not count."""


class ImpersonationError(KeygenNoteError):
    """A founder signed a note in which another founder speaks."""


class TranscriptError(KeygenError):
    """A transcript is not one of this key generation in its canonical encoding."""


class SelectionKeyUnknownError(KeygenError):
    """The selection key was sealed to the founders; this needs one founder's sealing key."""


class KeygenFailedError(KeygenError):
    """The notes at hand give no key. Get the missing ones, or propose again without the guilty."""

    def __init__(
        self, message: str, excluded: Mapping[str, str], unseated: Mapping[str, str]
    ) -> None:
        self.excluded = dict(excluded)
        """Why each dealer's deal does not count."""
        self.unseated = dict(unseated)
        """Why each founder gets no seat."""
        reasons = "; ".join(f"{name}: {why}" for name, why in {**unseated, **excluded}.items())
        super().__init__(f"{message} ({reasons})" if reasons else message)


class TooFewDealersError(KeygenFailedError):
    """Fewer good deals than the threshold: none of them might be an honest founder's."""


class TooFewSeatsError(KeygenFailedError):
    """Fewer founders than the threshold checked their shares: the key could never be used."""
