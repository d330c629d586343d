"""A whole key generation within one process: for tests, test networks and benchmarks.

Whoever runs it holds everybody's private keys; a real mesh never does this.
"""

from collections.abc import Mapping
from hashlib import sha512

from mesh.keygen.machine import KeyGeneration
from mesh.keygen.notes import NoteReader
from mesh.keygen.outcome import KeygenOutcome
from mesh.keygen.proposal import read_proposal
from proofs.note import Signer
from proofs.ristretto import Scalar


def run_ceremony(
    proposal: str, signers: Mapping[str, tuple[Signer, Scalar]], seed: bytes
) -> tuple[KeygenOutcome, dict[str, Scalar], bytes]:
    """Drive the machines of all founders that are given; the others stay silent.

    :param signers: identity key and private sealing key, by name.
    :param seed: equal seeds give equal keys.
    :return: the outcome, the shares by name, and the selection key.
    :raises KeygenError: the proposal does not hold, a key is not a founder's, or those that are
        given are too few.
    """
    read = read_proposal(proposal)
    reader = NoteReader(read)
    machines = {
        name: KeyGeneration(read, name, identity, sealing, reader=reader)
        for name, (identity, sealing) in sorted(signers.items())
    }
    deals = [
        machine.deal(_seed(b"deal", name, seed))
        for name, machine in machines.items()
        if machine.is_dealer
    ]
    for machine in machines.values():
        for note in deals:
            machine.receive(note)
    verdicts = [machine.verdict(_seed(b"verdict", n, seed)) for n, machine in machines.items()]
    # Only those with a share, and one more for an outcome, need to see all verdicts.
    first = next(iter(machines), None)
    for name, machine in machines.items():
        if machine.is_dealer or name == first:
            for note in verdicts:
                machine.receive(note)
    if first is None:
        return KeyGeneration(read, reader=reader).outcome(), {}, b""
    shares = {name: machine.share() for name, machine in machines.items() if machine.is_dealer}
    return (
        machines[first].outcome(),
        {name: share for name, share in shares.items() if share is not None},
        machines[first].selection_key(),
    )


def _seed(label: bytes, name: str, seed: bytes) -> bytes:
    return sha512(label + b"\n" + name.encode() + b"\n" + seed).digest()
