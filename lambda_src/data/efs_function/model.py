"""The model: a factor for each sensor, in a file that is replaced as a whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .journal import replace

_MAX_FACTOR = 1_000_000
_MAX_VERSION = 10**9


@dataclass(frozen=True)
class Model:
    """What readings are multiplied by.

    Args:
        version: Its version, which only grows; 0 if there is no model yet.
        factors: The factor of each sensor, 1 for others.
    """

    version: int = 0
    factors: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, given: object) -> "Model":
        """Check a model.

        Raises:
            ValueError: It is none.
        """
        if (
            not isinstance(given, dict)
            or type(given.get("version")) is not int
            or not 0 < given["version"] <= _MAX_VERSION
            or not isinstance(given.get("factors"), dict)
            or any(type(one) is not int or abs(one) > _MAX_FACTOR for one in given["factors"].values())
        ):
            raise ValueError(
                f"a model is a JSON object with a version, from 1 to {_MAX_VERSION:,}, and factors, from "
                f"-{_MAX_FACTOR:,} to {_MAX_FACTOR:,}: whole numbers in digits, not true, false or fractions"
            )
        return cls(given["version"], given["factors"])

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Load the model that is published."""
        return cls.parse(json.loads(path.read_bytes())) if path.exists() else cls()

    def publish(self, path: Path) -> None:
        """Replace the file: who opens it meanwhile reads the old or the new one, never a part.

        Raises:
            ValueError: The published model is newer, or another one with the same version.
        """
        published = Model.load(path)
        if published.version > self.version or (published.version == self.version and published != self):
            raise ValueError(
                f"version {published.version} is published, and this is {self.version}: "
                "give a greater version"
            )
        replace(path, json.dumps(asdict(self)).encode())
