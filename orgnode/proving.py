"""What a worker process runs: composing signals and verifying batches of their proofs.

Proving holds the interpreter lock for several milliseconds and verifying a batch for hundreds, so
neither may run in the process that answers requests. This module is all that a worker imports: no
server, no store, no keys. An incident's components reach it through the pool's private pipe and
leave it only as commitments, a proof, and the openings for the vault.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait

from mesh.claims import Claim, verify_claims
from mesh.genesis import Mesh, open_genesis
from mesh.signal import ComposedSignal, SignalDraft, compose_signal
from proofs.errors import ProofsError

_mesh: Mesh | None = None


def start(genesis: bytes) -> None:
    """Prepare a fresh worker process: load the mesh, leave Ctrl-C to the parent, end with it."""
    global _mesh
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    _mesh = open_genesis(genesis)


def _exit_with_parent() -> None:
    """End this worker when the node dies, by `kill -9` too: workers hold their own pipe open."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def compose(issuer: str, draft: SignalDraft, salt: bytes, entropy: bytes) -> ComposedSignal:
    """Commit to the draft's components, prove the band, and return the body with its openings."""
    if _mesh is None:
        raise RuntimeError("the worker was not started with a genesis")
    return compose_signal(_mesh, issuer, draft, salt, entropy)


def verify(claims: Sequence[Claim], entropy: bytes) -> list[ProofsError | None]:
    """Verify the proofs of many signals as one batch; `None` stands for a signal that holds."""
    return verify_claims(claims, entropy)
