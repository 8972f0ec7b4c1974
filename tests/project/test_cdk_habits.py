"""CDK users need no run.py: their own CLI finds the stacks, without this package being installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES
from tests.project.requirements import not_deployed

ROOT = Path(__file__).resolve().parents[2]
IDS = [architecture.id for architecture in ARCHITECTURES]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `cdk` needs, in another folder, which no installed package points to."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, folder)
    for name in ("stacks", "constructs", "lambda_src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "constructs" / "cdk_lambda_patterns" / "__init__.py").open("a") as file:
        file.write("import atexit, sys\nprint('made from', __file__, file=sys.stderr)\n")
        file.write("atexit.register(lambda: print('imported', *sys.modules, file=sys.stderr))\n")
    return folder


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """A user's shell: programs on PATH, caches, and no variable that would lead Python to this repository."""
    caches = ("JSII_RUNTIME_PACKAGE_CACHE_ROOT", "CDK_LAMBDA_PATTERNS_CACHE", "UV_CACHE_DIR")
    kept = ("HOME", "TMPDIR", *caches)
    values = {
        name: value for name, value in os.environ.items() if name in kept or name.endswith("_CERT_FILE")
    }
    values["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    values["CDK_VALIDATION"] = "false"  # these tests are about finding the app; this saves seconds
    return values | {"CDK_DISABLE_CLI_TELEMETRY": "true", "CDK_DISABLE_VERSION_CHECK": "1"}


def cdk(folder: Path, variables: dict[str, str], *arguments: str) -> str:
    program = shutil.which("cdk", path=f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}")
    assert program, "the CDK's command line is not installed: `python3 run.py setup`"
    command = [program, *arguments, "--no-notices"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_cdk_list_shows_the_ids_bundles_no_handler_and_imports_nothing_but_what_deploys(
    checkout: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    cache = tmp_path / "wheels"  # nothing is built yet: bundling would install the wheels of lock files there
    shown = cdk(checkout, {**variables, "CDK_LAMBDA_PATTERNS_CACHE": str(cache)}, "list")
    (imported,) = [line for line in shown.splitlines() if line.startswith("imported ")]
    assert not_deployed(imported.split()[1:]) == [], "`cdk deploy` has what is in requirements.txt only"
    assert shown.split()[: len(IDS)] == IDS
    assert not cache.exists()
    assert not list((checkout / "cdk.out").glob("asset.*/shared")), (
        "a copy of the shared modules is bundling, too"
    )


def test_cdk_list_validates_no_template_and_cdk_synth_does(
    checkout: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "aws_cdk.py").write_text("def App(**options): raise SystemExit(f'made with {options}')\n")
    for bundled, validation in (("[]", "False"), ('["**"]', "None"), ('["thumbnailer"]', "None")):
        context = f'{{"aws:cdk:bundling-stacks": {bundled}}}'  # as the CLI passes it to the app
        done = subprocess.run(
            [sys.executable, "app.py"],
            cwd=checkout,
            env={**variables, "CDK_CONTEXT_JSON": context, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == f"made with {{'builtin_cloud_formation_validation': {validation}}}\n"


@pytest.mark.parametrize("chosen", [("--exclusively", IDS[0]), ("-c", f"only={IDS[0]}")])
def test_cdk_synth_can_make_one_stack_without_the_others_from_the_constructs_in_the_checkout(
    checkout: Path, variables: dict[str, str], tmp_path: Path, chosen: tuple[str, str]
) -> None:
    shown = cdk(checkout, variables, "synth", "--quiet", "--output", str(tmp_path), *chosen)
    (file,) = tmp_path.glob("*.template.json")
    assert file.name == f"{IDS[0]}.template.json"
    template = json.loads(file.read_text())
    assert "AWS::Lambda::Function" in {resource["Type"] for resource in template["Resources"].values()}
    assert f"made from {checkout / 'constructs'}" in shown
