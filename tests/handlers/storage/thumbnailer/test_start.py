"""How the function starts: each time in a fresh interpreter, as in Lambda."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.handlers.loading import SOURCE
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT

PROGRAM = """
import gc, json, sys
import handler
print(json.dumps({
    "collects": gc.isenabled(),
    "frozen": gc.get_freeze_count(),
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


def start(**changes: str) -> Any:
    path = os.pathsep.join([str(SOURCE / "storage" / "thumbnailer"), str(SOURCE)])
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
def test_everything_is_ready_where_nobody_waits_for_the_start(kind: str) -> None:
    assert "PIL" in start(AWS_LAMBDA_INITIALIZATION_TYPE=kind)["loaded"]


def test_a_setting_that_is_not_allowed_stops_the_start_with_one_sentence() -> None:
    with pytest.raises(AssertionError, match="the environment variable QUALITY='best': give a whole number"):
        start(QUALITY="best")
