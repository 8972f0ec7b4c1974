"""How the function starts, each time in a fresh interpreter, as in Lambda."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.storage.thumbnailer.world import ENVIRONMENT

SOURCE = Path(__file__).parents[4] / "lambda_src"

PROGRAM = """
import gc, json, sys
import thumbnailer.handler
print(json.dumps({
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


def start(**changes: str) -> Any:
    path = os.pathsep.join([str(SOURCE / "storage"), str(SOURCE)])  # next to each other, as deployed
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM],
        env={**os.environ, **ENVIRONMENT, **changes, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_function_starts_without_what_only_pictures_need() -> None:
    started = start()
    assert started["collects"]
    assert started["frozen"] > 10_000
    assert not {"PIL", "_libvips", "boto3"} & set(started["loaded"])


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "snap-start"])
def test_everything_is_loaded_when_initialization_precedes_the_first_request(kind: str) -> None:
    assert "PIL" in start(AWS_LAMBDA_INITIALIZATION_TYPE=kind)["loaded"]


def test_an_unreadable_setting_stops_the_start_with_the_name_of_its_variable() -> None:
    with pytest.raises(AssertionError, match="the environment variable QUALITY='best': "):
        start(QUALITY="best")
