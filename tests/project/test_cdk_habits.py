"""Who knows the CDK needs no run.py: the user's own CLI finds the stacks, without this package installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]
IDS = [architecture.id for architecture in ARCHITECTURES]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `cdk` needs, in another folder: nothing that is installed points there."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, folder)
    for name in ("stacks", "constructs", "lambda_src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """A user's shell: programs on PATH, caches, and no variable that leads Python to this repository."""
    caches = ("JSII_RUNTIME_PACKAGE_CACHE_ROOT", "CDK_LAMBDA_PATTERNS_CACHE", "UV_CACHE_DIR")
    kept = ("HOME", "TMPDIR", *caches)
    values = {
        name: value for name, value in os.environ.items() if name in kept or name.endswith("_CERT_FILE")
    }
    values["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    values["CDK_VALIDATION"] = "false"  # what is checked here is that the app is found; this saves seconds
    return values | {"CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_DISABLE_VERSION_CHECK": "1"}


def cdk(folder: Path, variables: dict[str, str], *arguments: str) -> str:
    program = shutil.which("cdk", path=f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}")
    assert program, "the CDK's command line is not installed: `python3 run.py setup`"
    command = [program, *arguments, "--no-notices"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_cdk_list_shows_the_ids_of_the_catalogue(checkout: Path, variables: dict[str, str]) -> None:
    assert cdk(checkout, variables, "list").split()[: len(IDS)] == IDS


def test_cdk_synth_writes_a_template_from_the_constructs_beside_the_app(
    checkout: Path, variables: dict[str, str]
) -> None:
    # This copy of the library says that it is the one that is used.
    with (checkout / "constructs" / "cdk_lambda_patterns" / "__init__.py").open("a") as file:
        file.write("import sys\nprint('made from', __file__, file=sys.stderr)\n")
    shown = cdk(checkout, variables, "synth", "--quiet", IDS[0])
    template = json.loads((checkout / "cdk.out" / f"{IDS[0]}.template.json").read_text())
    assert "AWS::Lambda::Function" in {resource["Type"] for resource in template["Resources"].values()}
    assert f"made from {checkout / 'constructs'}" in shown
