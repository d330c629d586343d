"""Distributed generation of the committee's key and of the selection key, before the genesis.

One founder proposes (`propose`), each founder with a seat deals, each founder gives a verdict on
the deals, and everybody works out the same outcome from the same notes. See `outcome` for the
rules, `notes` and `transcript` for the formats.
"""

from mesh.keygen.ceremony import run_ceremony
from mesh.keygen.errors import (
    ForeignCeremonyError,
    FounderKeyError,
    ImpersonationError,
    KeygenError,
    KeygenFailedError,
    KeygenFormatError,
    KeygenNoteError,
    NotADealerError,
    NothingToJudgeError,
    ProposalError,
    SeatError,
    SelectionKeyUnknownError,
    TooFewDealersError,
    TooFewSeatsError,
    TranscriptError,
    UnknownFounderError,
)
from mesh.keygen.machine import KeyGeneration, from_transcript
from mesh.keygen.notes import DEAL_KIND, MAX_DEAL_NOTE, VERDICT_KIND, NoteReader
from mesh.keygen.outcome import KeygenOutcome
from mesh.keygen.proposal import MAX_PROPOSAL, KeygenProposal, propose, read_proposal
from mesh.keygen.transcript import MAX_TRANSCRIPT, transcript_digest

__all__ = [
    "DEAL_KIND",
    "MAX_DEAL_NOTE",
    "MAX_PROPOSAL",
    "MAX_TRANSCRIPT",
    "VERDICT_KIND",
    "ForeignCeremonyError",
    "FounderKeyError",
    "ImpersonationError",
    "KeyGeneration",
    "KeygenError",
    "KeygenFailedError",
    "KeygenFormatError",
    "KeygenNoteError",
    "KeygenOutcome",
    "KeygenProposal",
    "NotADealerError",
    "NoteReader",
    "NothingToJudgeError",
    "ProposalError",
    "SeatError",
    "SelectionKeyUnknownError",
    "TooFewDealersError",
    "TooFewSeatsError",
    "TranscriptError",
    "UnknownFounderError",
    "from_transcript",
    "propose",
    "read_proposal",
    "run_ceremony",
    "transcript_digest",
]
