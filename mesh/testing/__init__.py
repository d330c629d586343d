"""Fakes for testing whatever is built on `mesh`: real cryptography, seeded randomness, no I/O.

    world = make_mesh(4)                          # four founders, all keys, a signed genesis
    log = OrgLog(world, "acme.example")           # one member's log
    log.append_signals(10)                        # real proofs, made once and reused
    other = log.fork(5)                           # the same keys, another history
    replica = Replica(world.mesh, log.member.card)
    replica.offer(log.checkpoint())

`mesh.testing.simulation` runs seeded schedules of many logs and followers over a failing network.

Equal seeds give equal bytes. Nothing here may run in production: private keys follow from the seed.
"""

from mesh.testing.members import TestMember, TestMesh, found, founder, founders, make_mesh
from mesh.testing.orglog import TODAY, OrgLog
from mesh.testing.promotions import evaluated_scalars, make_promotion, open_evaluations
from mesh.testing.replica import Replica
from mesh.testing.rows import Rows
from mesh.testing.signals import (
    Lie,
    MadeSignal,
    SignalPool,
    falsify,
    forge_signal,
    make_signal,
    random_draft,
    random_token_scalars,
)
from mesh.testing.transport import (
    AnswerLostError,
    Faults,
    FaultySource,
    LogSource,
    ProofChecker,
    diagnose,
    follow,
)

__all__ = [
    "TODAY",
    "AnswerLostError",
    "Faults",
    "FaultySource",
    "Lie",
    "LogSource",
    "MadeSignal",
    "OrgLog",
    "ProofChecker",
    "Replica",
    "Rows",
    "SignalPool",
    "TestMember",
    "TestMesh",
    "diagnose",
    "evaluated_scalars",
    "falsify",
    "follow",
    "forge_signal",
    "found",
    "founder",
    "founders",
    "make_mesh",
    "make_promotion",
    "make_signal",
    "open_evaluations",
    "random_draft",
    "random_token_scalars",
]
