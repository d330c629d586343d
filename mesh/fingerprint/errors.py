"""What can go wrong when a text is to be fingerprinted."""

from mesh.errors import MeshError


class FingerprintError(MeshError):
    """A fingerprint can't be made."""


class EmptyTextError(FingerprintError):
    """A text holds no letter and no digit: it would match every other such text."""


class NothingToPublishError(FingerprintError):
    """Each window of a text is benign or may hold an identifier: a signal would tell nothing."""


class SelectionKeyError(FingerprintError):
    """The mesh's selection key is not 32 bytes."""


class CorpusFormatError(FingerprintError):
    """A benign corpus is not JSON lines of one text each."""


class WindowSetError(FingerprintError):
    """A kept set of windows is damaged, or of another kind; make it anew from its texts."""
