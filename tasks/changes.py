"""What differs from `main`, and which tests are about it: `run.py test --changed`.

A file of an architecture (its id is in the path) selects the tests of that architecture. A file that the
architectures of a family share selects the tests of that family. Any other file selects the tests of what may
use it, as `SHARED` says; a file that is not in that table selects every test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from stacks.catalogue import ARCHITECTURES, Architecture
from tasks.errors import TaskError

EVERYTHING = ("tests", "localaws/tests")
# Runs the Python on pages and in docstrings.
EXAMPLES = "tests/constructs/test_examples.py"

# The tests that look at all architectures at once: they run when any of them has changed.
OVER_THE_CATALOGUE = ("tests/contracts", "tests/stacks")

# Where a folder of a family holds the files of its architectures.
_ROOMS = ("constructs", "stacks", "lambda_src", "scenarios", "docs", "tests")

# Where the tests are that a change below a path may break; the first path that matches counts.
SHARED: dict[str, tuple[str, ...]] = {
    "localaws/src/": ("localaws/tests", "tests/local"),
    "localaws/": ("localaws/tests",),
    "constructs/": ("tests/constructs", *OVER_THE_CATALOGUE, "tests/local", "tests/project"),
    "stacks/": (*OVER_THE_CATALOGUE, "tests/local", "tests/tasks", "tests/project"),
    "lambda_src/": ("tests/handlers", "tests/constructs", "tests/local"),
    "scenarios/": ("tests/scenarios", "tests/tasks", "tests/local"),
    "tasks/": ("tests/tasks", "tests/project"),
    "run.py": ("tests/project", "tests/tasks"),
    ".ci/": ("tests/project",),
    "benchmarks/": ("tests/project",),
    "examples/": ("tests/project",),
    "docs/": ("tests/project", EXAMPLES),
    "README.md": ("tests/project", EXAMPLES),
    "CHANGELOG.md": ("tests/project",),
    "LICENSE": ("tests/project",),
}


def changed_files(root: Path, base: str = "main") -> list[str]:
    """The files that differ from where the checkout left `base`: committed, uncommitted and untracked ones.

    Args:
        root: The checkout.
        base: A branch; where there is none of that name, the one of `origin` is taken.

    Raises:
        TaskError: This is not a git checkout, or the branch does not exist.
    """
    for name in (base, f"origin/{base}"):
        found = _git(root, "merge-base", name, "HEAD")
        if found is not None:
            fork = found.strip()
            break
    else:
        raise TaskError(f"--changed compares with the branch {base}, and git does not find it in {root}.")
    differing = _git(root, "diff", "--name-only", "--no-renames", "-z", fork) or ""
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z") or ""
    return sorted({name for name in (differing + untracked).split("\0") if name})


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or `None` if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout


def select_tests(changed: Iterable[str], root: Path) -> list[str]:
    """The test files and folders to run for some changed files; none is inside another.

    Args:
        changed: Paths relative to the checkout, with slashes.
        root: The checkout: only tests that exist there are returned.
    """
    wanted = {target for path in changed for target in _select_for(path, root) if (root / target).exists()}
    return sorted(target for target in wanted if not any(_is_below(target, other) for other in wanted))


def _select_for(path: str, root: Path) -> Iterator[str]:
    parts = path.split("/")
    if parts[-1].startswith("test_") and path.endswith(".py"):
        yield path
    elif rows := rows_of(path):
        yield from OVER_THE_CATALOGUE
        if parts[0] == "docs":
            yield from SHARED["docs/"]
        for row in rows:
            yield from files_of(row, root)
    elif parts[0] == "tests" and len(parts) > 2:
        yield f"tests/{parts[1]}"  # something that the tests in that folder share
    else:
        yield from next((tests for prefix, tests in SHARED.items() if path.startswith(prefix)), EVERYTHING)


def rows_of(path: str) -> list[Architecture]:
    """The architectures that a file belongs to: one by its id, or all of the family whose folder it is in."""
    room, _, inside = path.partition("/")
    if room in ("constructs", "tests"):
        inside = inside.partition("/")[2]
    family = [row for row in ARCHITECTURES if inside.startswith(f"{row.family}/")]
    if room not in _ROOMS or not family:
        return []
    names = [
        part.replace("-", "_").removeprefix("test_") for part in PurePosixPath(inside).with_suffix("").parts
    ]
    return [row for row in family if any(f"{name}_".startswith(f"{row.module}_") for name in names)] or family


def files_of(row: Architecture, root: Path) -> Iterator[str]:
    """The test files of an architecture, in every folder of tests."""
    for path in sorted(root.glob(f"tests/*/{row.family}/*{row.module}*")):
        if path.is_dir() or path.name.startswith("test_"):
            yield path.relative_to(root).as_posix()


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")
