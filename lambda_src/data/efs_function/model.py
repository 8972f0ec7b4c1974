"""The model: a factor for each sensor, in a file that is replaced as a whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .journal import replace


@dataclass(frozen=True)
class Model:
    """What readings are multiplied by.

    Args:
        version: Its version; 0 if there is no model yet.
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
            or not isinstance(given.get("factors"), dict)
            or any(type(factor) is not int for factor in given["factors"].values())
        ):
            raise ValueError("a model is a JSON object with version and factors, which are whole numbers")
        return cls(given["version"], given["factors"])

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Load the model that is published."""
        return cls.parse(json.loads(path.read_bytes())) if path.exists() else cls()

    def publish(self, path: Path) -> None:
        """Replace the file: who opens it meanwhile reads the old or the new one, never a part."""
        replace(path, json.dumps(asdict(self)).encode())
