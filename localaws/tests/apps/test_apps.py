"""CDK apps that are not ours are deployed by the CDK CLI, driven with real events, and destroyed.

Each folder has an app, written as the pages in its docstring teach it, with plain `aws_cdk`, and `drive.py`,
which sends what its users would send and looks at what they would see. Nothing in an app is there for the
embedded AWS.
"""

from __future__ import annotations

import json
import os

import pytest

from helpers.foreign_apps import APPS, NAMES, App, driver_of, inventory
from localaws import LocalAws
from localaws.engines import namespaces

pytestmark = pytest.mark.local

# What the embedded AWS lacks: an app that needs it cannot pass. It is deployed, and an assertion of its
# driver fails; any other failure, such as a server that does not start, fails the test.
MISSING = {
    "graphql_api": "mapping templates of GraphQL APIs are not evaluated",
}
if not namespaces.available():
    MISSING["efs_function"] = "functions have no file system of their own on this machine"
_RECORD = APPS / "record.json"


@pytest.mark.full
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[pytest.mark.xfail(reason=MISSING[name], strict=True, raises=AssertionError)]
            if name in MISSING
            else [],
        )
        for name in NAMES
    ],
)
def test_deployed_driven_destroyed(empty_aws: LocalAws, name: str) -> None:
    record: dict[str, object] = {"missing": MISSING.get(name, "")}
    try:
        _prove(App(empty_aws, name), name, record)
    finally:
        _keep(name, record)


def _prove(app: App, name: str, record: dict[str, object]) -> None:
    driver = driver_of(name)
    app.aws.bootstrap()
    if hasattr(driver, "prepare"):
        driver.prepare(app.aws.client)
    before = inventory(app.aws)
    app.deploy(parameters=getattr(driver, "PARAMETERS", {}))
    record["deployed"] = True
    driver.drive(app)
    record["driven"] = True
    record["ignored"] = sorted({str(each) for each in app.aws.dropped_properties()})
    app.destroy()
    left = inventory(app.aws) - before
    record["left"] = sorted(left)
    assert not left


def _keep(name: str, record: dict[str, object]) -> None:
    """Write what was seen into the record, if the run is to make it: `LOCALAWS_RECORD_APPS=1`."""
    if "LOCALAWS_RECORD_APPS" in os.environ:
        records = json.loads(_RECORD.read_text("utf-8")) if _RECORD.exists() else {}
        records[name] = record
        _RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", "utf-8")
