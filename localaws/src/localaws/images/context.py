"""The build context: the files of a folder, without those that `.dockerignore` excludes.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from localaws.images.layers import Tree, entry_of


def read(folder: Path, dockerfile: Path) -> Tree:
    """Return the files of a build context.

    Args:
        folder: The folder.
        dockerfile: The Dockerfile; a `.dockerignore` next to it, after its name, comes first.
    """
    own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    ignore = own if own.is_file() else folder / ".dockerignore"
    rules = list(_rules(ignore.read_text("utf-8-sig"))) if ignore.is_file() else []
    found: Tree = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            file = Path(place, name)
            path = file.relative_to(folder).as_posix()
            if not _is_ignored(path, rules):
                found[path] = entry_of(file)
    return found


def _rules(text: str) -> Iterator[tuple[re.Pattern[str], bool]]:
    """Each pattern, and whether it excludes."""
    for raw in text.splitlines():
        line = raw.strip()
        if line and not line.startswith("#"):
            excludes = not line.startswith("!")
            yield pattern(posixpath.normpath(line.lstrip("!").strip()).lstrip("/")), excludes


def _is_ignored(path: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    ignored = False
    for rule, excludes in rules:  # the last one that fits counts
        if any(rule.fullmatch(one) for one in above):
            ignored = excludes
    return ignored


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of Docker: `*`, `?` and sets within a name, `**` for any number of folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", text)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(
        "".join(known.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts)
    )
