"""mypy reads the services of aws_cdk that this project imports, and no others: pyproject.toml lists them."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from tasks.checks import ROOMS
from tests.project.arrows import imports

ROOT = Path(__file__).resolve().parents[2]
_EXCLUDED = ROOT / "localaws" / "tests" / "apps"  # as in pyproject.toml
# The package itself, and what each of its modules imports with a star.
_ALWAYS = {"aws_cdk", "aws_cdk._jsii"}


def imported(file: Path, services: set[str]) -> set[str]:
    """The modules of aws_cdk that a file imports."""
    if "aws_cdk" not in file.read_text("utf-8"):  # most files; parsing takes a hundred times as long
        return set()
    return {".".join(found.module.split(".")[:2]) for found in imports(file.parent, file)} & services


def services() -> set[str]:
    """Every module of the installed aws_cdk."""
    (place,) = importlib.util.find_spec("aws_cdk").submodule_search_locations  # type: ignore[union-attr, misc]
    return {f"aws_cdk.{path.parent.name}" for path in Path(place).glob("*/__init__.py")}


def listed() -> list[str]:
    """The modules of aws_cdk that pyproject.toml has mypy read."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["overrides"]
    lists = [one["module"] for one in overrides if isinstance(one["module"], list)]
    (found,) = [names for names in lists if "aws_cdk" in names]
    return list(found)


def test_mypy_reads_what_is_imported_and_nothing_else_of_aws_cdk() -> None:
    known = services()
    rooms = [ROOT / room for room in ROOMS]
    files = [file for room in rooms for file in ([room] if room.is_file() else room.rglob("*.py"))]
    files = [file for file in files if not file.is_relative_to(_EXCLUDED)]
    wanted = _ALWAYS.union(*(imported(file, known) for file in files))
    assert listed() == sorted(wanted), (
        "make the list in [[tool.mypy.overrides]] of pyproject.toml equal to this"
    )


def test_every_way_of_importing_a_service_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "import aws_cdk as cdk\nimport aws_cdk.aws_efs as efs\nimport aws_cdk.aws_ssm.x\n"
        "from aws_cdk import Duration, aws_s3 as s3\nfrom aws_cdk.aws_sqs import Queue\n"
        "from . import aws_iam\ndef f():\n    from aws_cdk import aws_kms\n"
    )
    names = ("aws_efs", "aws_ssm", "aws_s3", "aws_sqs", "aws_kms")
    assert imported(file, services()) == {f"aws_cdk.{name}" for name in names}
