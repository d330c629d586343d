"""Secrets shared so that any t of m holders can use them, and fewer learn nothing.

`shamir` shares a scalar, `feldman` commits to a sharing so that each share can be checked,
`sealing` encrypts shares so that a bad one can be proven, `dealing` puts these together to what one
dealer sends, `resharing` renews shares under the same public key, and `combining` puts partial
results together without ever putting the key together.
"""
