import importlib
import inspect
import pkgutil

import mesh
from mesh.errors import BodyError, EntryError, MeshError, UnknownKindError

MODULES = [
    importlib.import_module(f"mesh.{info.name}")
    for info in pkgutil.iter_modules(mesh.__path__)
    if not info.ispkg
]
ERRORS = {
    error
    for module in MODULES
    for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, Exception) and error.__module__.startswith("mesh.")
}


def test_every_error_has_the_root_a_name_and_a_meaning() -> None:
    assert len(ERRORS) > 40
    for error in ERRORS:
        assert issubclass(error, MeshError), error
        assert error.__name__.endswith("Error")
        assert inspect.getdoc(error) != inspect.getdoc(error.__mro__[1]), error


def test_entry_and_body_errors_are_apart() -> None:
    assert not any(issubclass(e, EntryError) and issubclass(e, BodyError) for e in ERRORS)


def test_an_unknown_kind_says_which() -> None:
    error = UnknownKindError("adopt")
    assert error.kind == "adopt"
    assert "adopt" in str(error)
