"""The apps in `examples/` are as in a repository of a user: they have nothing but the installed wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/cdk.json"))


def test_every_solution_has_an_example() -> None:
    assert sorted(row.id for row in ARCHITECTURES if row.family == "solutions") == EXAMPLES


@pytest.mark.local
@pytest.mark.full  # `test_wheel` has an app in another folder for every run
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_tests_of_an_example_pass_with_the_wheel(example: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(installed)
    app = shutil.copytree(ROOT / "examples" / example, tmp_path / "app")
    cdk = ROOT / "node_modules" / ".bin" / "cdk"
    environment = {**os.environ, "PYTHONPATH": str(installed), "LOCALAWS_CDK": str(cdk)}
    where = [sys.executable, "-c", "import cdk_lambda_patterns; print(cdk_lambda_patterns.__file__)"]
    found = subprocess.run(where, cwd=app, env=environment, check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(installed)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio"],
        cwd=app,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
