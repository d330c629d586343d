"""The demonstration: several organizations on one machine warn one another, and one of them lies.

    python -m orgnode.demo --orgs 5 [--incidents FILE] [--keep] [--dir DIR]

Real node processes, real proofs, real mutual TLS. The numbers in the last table are measured in
one process, which follows the feeds of all organizations with one clock.
"""
