"""The root of every error of `orgnode`, and those of a node's directory, keys, settings and vault.

Each class is named for the condition that it stands for and carries a `hint`: what a person can do
about it. Messages hold file names, host names and numbers, never a secret: no prompt, component
score, blinding factor, passphrase or key. Errors of one part only live in that part's `errors`.
"""

from __future__ import annotations


class OrgnodeError(Exception):
    """Something that this node cannot do. `hint` says what to do about it; it may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def code(self) -> str:
        """The condition's name, as interfaces report it: the name of the class."""
        return type(self).__name__


# --- the data directory


class DataDirError(OrgnodeError):
    """Something about the data directory keeps the node from working in it."""


class DataDirMissingError(DataDirError):
    """There is no data directory at this path: nothing has been set up yet."""


class DataDirExistsError(DataDirError):
    """The directory already holds a node; setting up another one would overwrite its keys."""


class DataDirNotWritableError(DataDirError):
    """The node cannot write to its data directory: permissions, or a read-only file system."""


class DataDirInUseError(DataDirError):
    """Another process runs on this data directory; two would sign two histories of one log."""


class MissingFileError(DataDirError):
    """A file that the node needs is not in its data directory."""


class PermissionsTooOpenError(DataDirError):
    """A file with a secret can be read by other users of this machine."""


class SecretFormatError(DataDirError):
    """A file with a secret (token, selection key) is empty or is not written as it should be."""


class ForeignSelectionKeyError(DataDirError):
    """The selection key is another mesh's: no token would match a peer's."""


class ForeignCorpusError(DataDirError):
    """The benign corpus is not the one that the constraints pin: this node would drop others."""


# --- settings


class ConfigError(OrgnodeError):
    """The settings cannot be used."""


class ConfigSyntaxError(ConfigError):
    """`config.toml` is not TOML."""


class UnknownSettingError(ConfigError):
    """`config.toml` holds a key that is no setting, perhaps misspelt: ignoring it would mislead."""


class SettingValueError(ConfigError):
    """A setting has the wrong type or lies outside its range."""


# --- keys


class KeyStoreError(OrgnodeError):
    """The node's private keys cannot be used."""


class KeyStoreExistsError(KeyStoreError):
    """There are keys already; making new ones would throw the organization's identity away."""


class KeyFileError(KeyStoreError):
    """The key file is damaged, of an unknown format, or was changed."""


class PassphraseNeededError(KeyStoreError):
    """The keys are under a passphrase and none was given."""


class WrongPassphraseError(KeyStoreError):
    """The passphrase does not open the keys."""


class ForeignShareError(KeyStoreError):
    """A committee share is not the one whose public half stands in the genesis."""


class TransportError(OrgnodeError):
    """A certificate cannot be used for the mesh's transport."""


class CertificateError(TransportError):
    """A member's certificate is not a self-signed end-entity one for the key in its card."""


class NotAMemberError(TransportError):
    """The other end of a connection holds a key that no member of the mesh has in its card."""


# --- the vault


class VaultError(OrgnodeError):
    """An incident in the vault cannot be used."""


class UnknownIncidentError(VaultError):
    """The vault holds no incident with this id: it never did, or its key was destroyed."""


class SealedIncidentError(VaultError):
    """A vault row does not open under the master key: it was changed, or is another node's."""
