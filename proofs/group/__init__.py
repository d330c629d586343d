"""BLS12-381 G1 behind one interface, with three interchangeable back ends.

`prover()` works on secrets, `backend()` on public values. Which libraries they are is decided by
the environment variable SIGNAL_MESH_GROUP, read when this package is imported:

    auto      (the default) prove with pyblst, verify with arkworks; py_ecc for a missing one
    pyblst, arkworks, py_ecc    use this one for both, and refuse to start without it

All give the same answers, byte for byte; they differ in speed and in what their timing reveals.
"""

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from proofs.group.encoding import COFACTOR, G1_COMPRESSED
from proofs.group.errors import (
    BackendUnavailableError,
    DomainTagError,
    InfinityPointError,
    LengthMismatchError,
    NotInSubgroupError,
    NotOnCurveError,
    PointEncodingError,
    PointError,
    ScalarRangeError,
)
from proofs.group.interface import Backend, FixedBases, Point
from proofs.group.scalars import (
    ORDER,
    SCALAR_BYTES,
    WIDE_BYTES,
    decode_scalar,
    encode_scalar,
    invert_all,
    scalar_from_wide,
)

__all__ = [
    "BACKENDS",
    "COFACTOR",
    "G1_COMPRESSED",
    "ORDER",
    "SCALAR_BYTES",
    "WIDE_BYTES",
    "Backend",
    "BackendUnavailableError",
    "DomainTagError",
    "FixedBases",
    "InfinityPointError",
    "LengthMismatchError",
    "NotInSubgroupError",
    "NotOnCurveError",
    "Point",
    "PointEncodingError",
    "PointError",
    "ScalarRangeError",
    "backend",
    "backend_names",
    "decode_scalar",
    "encode_scalar",
    "invert_all",
    "is_available",
    "load",
    "prover",
    "scalar_from_wide",
]

BACKENDS = ("pyblst", "arkworks", "py_ecc")
"""The names that `load` knows."""

# name -> (package to import, its name on the package index, our module, our class)
_KNOWN = {
    "pyblst": ("pyblst", "pyblst", "_pyblst", "PyblstBackend"),
    "arkworks": (
        "py_arkworks_bls12381",
        "py-arkworks-bls12381",
        "_arkworks",
        "ArkworksBackend",
    ),
    "py_ecc": ("py_ecc", "py-ecc", "_py_ecc", "PyEccBackend"),
}

_CHOICE = os.environ.get("SIGNAL_MESH_GROUP", "auto")


def is_available(name: str) -> bool:
    """Tell whether the back end's package is installed.

    Raises:
        BackendUnavailableError: no back end has this name.
    """
    return find_spec(_known(name)[0]) is not None


@cache
def load(name: str) -> Backend:
    """Return the back end of this name; always the same object.

    Raises:
        BackendUnavailableError: unknown, or its package is not installed; says what to install.
    """
    _, package, module, class_name = _known(name)
    if not is_available(name):
        raise BackendUnavailableError(
            f"the group back end {name} needs the package {package}: pip install {package} "
            "(or 'signal-mesh[fast]'), or set SIGNAL_MESH_GROUP=auto"
        )
    loaded = getattr(import_module(f"proofs.group.{module}"), class_name)()
    assert isinstance(loaded, Backend)
    return loaded


def backend_names() -> tuple[str, str]:
    """Return the names of the back ends in use: (for secrets, for public values).

    Raises:
        BackendUnavailableError: SIGNAL_MESH_GROUP names one that is unknown or not installed.
    """
    return _chosen(_CHOICE)


def prover() -> Backend:
    """Return the back end for secrets: flat-time if `flat_time` says so.

    Raises:
        BackendUnavailableError: as `backend_names`.
    """
    return load(backend_names()[0])


def backend() -> Backend:
    """Return the back end for public values, in variable time.

    Raises:
        BackendUnavailableError: as `backend_names`.
    """
    return load(backend_names()[1])


def _known(name: str) -> tuple[str, str, str, str]:
    if name not in _KNOWN:
        raise BackendUnavailableError(
            f"SIGNAL_MESH_GROUP can be auto, {', '.join(BACKENDS)}; not {name!r}"
        )
    return _KNOWN[name]


@cache
def _chosen(choice: str) -> tuple[str, str]:
    if choice == "auto":
        first = "pyblst" if is_available("pyblst") else "py_ecc"
        second = "arkworks" if is_available("arkworks") else "py_ecc"
        return first, second
    load(choice)
    return choice, choice
