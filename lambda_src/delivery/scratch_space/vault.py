"""Data → AES-256-GCM with a data key of KMS: only this function reads it, and a change is noticed.

KMS returns a data key twice: in plaintext, which stays in memory, and encrypted, which is stored before the
data. Reading the data takes KMS's permission to decrypt that key, in the same encryption context.

https://docs.aws.amazon.com/kms/latest/developerguide/data-keys.html
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
#: Bytes that a sealed piece has more than its data: nonce and tag.
OVERHEAD = _NONCE_BYTES + 16
# After this time, in seconds, KMS is asked again. Without it, a warm environment would use a disabled key for
# as long as it lives. By the wall clock: a monotonic one may stop while the environment is frozen.
_KEY_LIFETIME = 300


class Damaged(Exception):
    """The data was changed, cut off, or belongs somewhere else."""


@dataclass(frozen=True)
class DataKey:
    """A data key.

    Args:
        wrapped: The key as KMS encrypted it.
        cipher: AES-GCM with the plaintext key.
    """

    wrapped: bytes
    cipher: AESGCM

    @property
    def header(self) -> bytes:
        """What is stored before data that was sealed with this key."""
        return len(self.wrapped).to_bytes(2, "big") + self.wrapped

    def seal(self, data: bytes, name: str) -> bytes:
        """Encrypt a piece of data. It opens only under the same name, so pieces cannot change places."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, data, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypt a piece of data.

        Raises:
            Damaged: It is not what was sealed under this name.
        """
        try:
            return self.cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise Damaged(f"{name}: the data is not what this function stored there") from None


class Vault:
    """Makes data keys and opens them again.

    Args:
        kms: A client of KMS.
        key_id: The KMS key.
        context: The encryption context, which the role's permissions name as well.
    """

    def __init__(self, kms: Any, key_id: str, context: Mapping[str, str]) -> None:
        self._kms = kms
        self._named = {"KeyId": key_id, "EncryptionContext": dict(context)}
        self._known: dict[bytes, DataKey] = {}
        self._newest: DataKey | None = None
        self._forgotten_at = 0.0

    def new_key(self) -> DataKey:
        """Return a key to seal with: one for everything that is sealed within five minutes."""
        self._forget_old_keys()
        if self._newest is None:
            made = self._kms.generate_data_key(**self._named, KeySpec="AES_256")
            self._newest = DataKey(made["CiphertextBlob"], AESGCM(made["Plaintext"]))
        return self._newest

    def key_in(self, sealed: bytes) -> DataKey:
        """Return the key whose header these bytes begin with.

        Raises:
            Damaged: The header is none that KMS made with this key in this context.
        """
        self._forget_old_keys()
        wrapped = sealed[2 : 2 + int.from_bytes(sealed[:2], "big")]
        if not wrapped:
            raise Damaged("the header has no data key")
        if wrapped not in self._known:
            try:
                opened = self._kms.decrypt(**self._named, CiphertextBlob=wrapped)
            except (
                self._kms.exceptions.InvalidCiphertextException,
                self._kms.exceptions.IncorrectKeyException,
            ):
                raise Damaged("the header has no data key of this function") from None
            self._known[wrapped] = DataKey(wrapped, AESGCM(opened["Plaintext"]))
        return self._known[wrapped]

    def seal(self, data: bytes, name: str) -> bytes:
        """Return data with its header, for a place of its own."""
        key = self.new_key()
        return key.header + key.seal(data, name)

    def open(self, sealed: bytes, name: str) -> bytes:
        """Return the data that was sealed under this name.

        Raises:
            Damaged: It is not what was sealed.
        """
        key = self.key_in(sealed)
        return key.open(sealed[len(key.header) :], name)

    def _forget_old_keys(self) -> None:
        if time.time() >= self._forgotten_at:
            self._known, self._newest = {}, None
            self._forgotten_at = time.time() + _KEY_LIFETIME
