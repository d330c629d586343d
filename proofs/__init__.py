"""The mathematics: groups, commitments, proofs, Merkle trees, signed notes.

Pure functions over bytes, integers and points. No clock, no network, no disk; randomness is
handed in.
"""
