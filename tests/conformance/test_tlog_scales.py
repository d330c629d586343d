"""Logs of ours read by another implementation: tlog-scales (PyPI), written by others for others.

It reads checkpoints, cosignatures, tiles and bundles, and makes proofs of what it read; what it
makes, ours verifies.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from test_c2sp_reader import KEY, OWNER, SIZES, WITNESSES, WORLD, log_of, write
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import ConsistencyProofInvalid

from mesh.testing import OrgLog
from proofs.checkpoint import open_checkpoint
from proofs.merkle import leaf_hash, verify_consistency, verify_inclusion
from proofs.tlogproof import TlogProof


def reader_of(log: OrgLog, below: Path) -> TilesReader:
    write(log, below)
    return TilesReader(LocalBackend(below))


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_checkpoint_cosignatures_tiles_and_entries(tmp_path: Path, size: int) -> None:
    log = log_of(size)
    reader = reader_of(log, tmp_path)
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(KEY))
    witnesses = VkeySet(*(Vkey.from_string(key) for key in WITNESSES))
    assert len(witnesses.verify(checkpoint.signatures, checkpoint)) == WORLD.mesh.constraints.quorum
    assert reader.calculate_root_hash() == checkpoint.root_hash == log.frontier().root()
    assert [reader.get_entry(index) for index in range(size)] == log.notes


@pytest.mark.parametrize("size", [1, 2, 7, 257, 700])
def test_its_proofs_hold_here_and_ours_there(tmp_path: Path, size: int) -> None:
    log = log_of(size)
    reader = reader_of(log, tmp_path)
    root = reader.get_checkpoint().root_hash
    for index in sorted({0, size // 2, size - 1}):
        proof = reader.get_inclusion_proof(index, size)
        verify_inclusion(leaf_hash(log.notes[index]), index, size, proof.node_hashes, root)
    for old in sorted({1, size // 2, size - 1, size} - {0}):
        consistency = reader.get_consistency_proof(old, size)
        before = log.frontier(old).root()
        verify_consistency(old, size, before, root, consistency.node_hashes)
        consistency.check(before, root)
        if old < size:
            with pytest.raises(ConsistencyProofInvalid):
                consistency.check(bytes(32), root)


def test_its_tlog_proof_is_one_of_ours(tmp_path: Path) -> None:
    log = log_of(300)
    write(log, tmp_path)
    made = subprocess.run(
        [sys.executable, "-m", "tlog_scales.cli", "gen-proof", str(tmp_path), "299"],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout
    proof = TlogProof.parse(made)
    tree = open_checkpoint(proof.checkpoint, WORLD.mesh.log_key(OWNER.name))
    verify_inclusion(leaf_hash(log.notes[299]), proof.index, tree.size, proof.hashes, tree.root)


def test_it_notices_a_changed_tile(tmp_path: Path) -> None:
    log = log_of(7)
    reader = reader_of(log, tmp_path)
    checkpoint = reader.get_checkpoint()
    tile = tmp_path / "tile/0/000.p/7"
    tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    assert reader.calculate_root_hash() != checkpoint.root_hash
