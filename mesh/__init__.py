"""The protocol: what every organization of a mesh must compute alike.

Everything here is sans-I/O: bytes, days and randomness are handed in, and nothing reads a clock, a
disk or a socket. The layer below is `proofs`, the mathematics; the one above is `orgnode`, one
organization's process. Start at `mesh.genesis` for who the members are, `mesh.entry` for what they
sign, `mesh.signal` for what they say.
"""
