"""Makes the links of README.md absolute in the wheel: PyPI shows it without the other files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = re.compile(r"(?P<image>!?)(?P<text>\[[^]]*\])\((?!https?://|#)(?P<path>[^)]+)\)")


def absolute(text: str, source: str) -> str:
    """Return a page whose links to files lead into the repository.

    Args:
        text: The page, in Markdown.
        source: The address of the repository.
    """

    def replace(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}{link['text']}({source}/{kind}/main/{link['path']})"

    return _RELATIVE.sub(replace, text)


class AbsoluteLinks(MetadataHookInterface):
    """Sets the long description; hatchling finds this class by its base."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, which pyproject.toml therefore lists as dynamic."""
        text = (Path(self.root) / "README.md").read_text("utf-8")
        absolutely = absolute(text, metadata["urls"]["Source"])
        metadata["readme"] = {"content-type": "text/markdown", "text": absolutely}
