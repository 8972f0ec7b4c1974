"""Images that were built here: their blobs, their tags, and the tokens of registries that were logged in to.

It is in the private folder of an embedded AWS, and ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localaws.images.layers import Layer, digest

#: Names the folder.
VARIABLE = "LOCALAWS_IMAGES"


class Store:
    """The images in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "blobs").mkdir(mode=0o700, parents=True, exist_ok=True)

    @classmethod
    def here(cls) -> Store:
        """The store of the embedded AWS whose variables this process has.

        Raises:
            KeyError: It has none.
        """
        return cls(Path(os.environ[VARIABLE]))

    def add(self, data: bytes) -> str:
        """Keep a blob, and return its digest."""
        name = digest(data)
        file = self._file(name)
        if not file.exists():
            draft = file.with_suffix(f".{secrets.token_hex(4)}")
            draft.write_bytes(data)
            draft.rename(file)
        return name

    def blob(self, name: str) -> bytes:
        """The blob with this digest."""
        return self._file(name).read_bytes()

    def _file(self, name: str) -> Path:
        return self._folder / "blobs" / name.removeprefix("sha256:")

    def manifest(self, reference: str) -> str | None:
        """The digest of the manifest of an image, by tag or digest; None if there is none."""
        found: str | None = self._read("tags").get(reference)
        if found is None and reference.startswith("sha256:") and self._file(reference).exists():
            return reference
        return found

    def tags(self) -> list[str]:
        """The tags of all images."""
        return sorted(self._read("tags"))

    def tag(self, reference: str, manifest: str) -> None:
        """Give an image a tag."""
        with self._changing("tags") as tags:
            tags[reference] = manifest

    def cached(self, key: bytes) -> Layer | None:
        """The layer that `remember` was given for this key."""
        found = self._read("runs").get(digest(key))
        return Layer(found[0], found[1], self.blob(found[0])) if found else None

    def remember(self, key: bytes, layer: Layer) -> None:
        """Keep the layer that a step gave, which depends only on the key."""
        self.add(layer.data)
        with self._changing("runs") as runs:
            runs[digest(key)] = [layer.digest, layer.diff_id]

    def log_in(self, registry: str, user: str, token: str) -> None:
        """Keep the token of a registry."""
        with self._changing("logins") as logins:
            logins[registry] = [user, token]

    def log_out(self, registry: str) -> None:
        """Forget the token of a registry."""
        with self._changing("logins") as logins:
            logins.pop(registry, None)

    def login(self, registry: str) -> tuple[str, str] | None:
        """User and token of a registry; None without login."""
        found = self._read("logins").get(registry)
        return (found[0], found[1]) if found else None

    def _read(self, name: str) -> dict[str, Any]:
        file = self._folder / f"{name}.json"
        return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[dict[str, Any]]:
        """Change a file that builds running at the same time change, too."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read(name)
            yield content
            draft = self._folder / f"{name}.draft"
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(content))
            draft.rename(self._folder / f"{name}.json")
