"""What deploys and what that needs: the groups of pyproject.toml and the installed packages."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
GROUPS = PYPROJECT["dependency-groups"]
DEPLOY = [Requirement(line) for line in GROUPS["deploy"]]


def reachable(wanted: list[Requirement]) -> set[str]:
    """The names of all packages that these requirements need, as far as they are installed here."""
    reached: set[tuple[str, str]] = set()
    open_ones = [(canonicalize_name(one.name), extra) for one in wanted for extra in ("", *one.extras)]
    while open_ones:
        package, extra = open_ones.pop()
        if (package, extra) in reached:
            continue
        reached.add((package, extra))
        for line in _requires(package):
            requirement = Requirement(line)
            # Of a marker only the extra is asked: the file is for every platform and Python.
            if "extra ==" in str(requirement.marker or "") and not (
                extra and f'"{extra}"' in str(requirement.marker)
            ):
                continue
            open_ones += [(canonicalize_name(requirement.name), more) for more in ("", *requirement.extras)]
    return {package for package, _ in reached}


def _requires(package: str) -> list[str]:
    try:
        return importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # of another platform; what it would bring is not known here


def not_deployed(modules: Iterable[str]) -> list[str]:
    """Return those of some modules that an environment with requirements.txt only does not have."""
    imported = {name.partition(".")[0] for name in modules}
    distributions = importlib.metadata.packages_distributions()
    deployed = reachable(DEPLOY)
    return [
        name
        for name in sorted(imported & distributions.keys())
        if not deployed & {canonicalize_name(one) for one in distributions[name]}
        and name not in ("cdk_lambda_patterns", "_virtualenv", "_distutils_hack")
    ]
