"""Fault injection for meshes that are only for testing: nodes that misbehave on purpose.

Public, so that whoever builds on the mesh can see that their own nodes notice. Nothing here is
imported by a node that behaves.
"""
