"""Measurements. `make bench` runs them all; none of them is a unit test."""
