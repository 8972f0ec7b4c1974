"""Five of the apps, for `run.py compat`: synthesised together, deployed and destroyed by one CDK CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from helpers import synthesise_together
from helpers.foreign_apps import APPS, App, driver_of, inventory
from localaws import Deployment, LocalAws
from localaws.cdk.cli import find_cli

pytestmark = [pytest.mark.local, pytest.mark.full]

# The apps and their stacks. Paths in these apps are relative to the file, not to the working folder.
FIVE = {
    "rest_api_dynamodb": ["ItemsApi"],
    "sqs_worker": ["WorkerStack"],
    "sns_fanout": ["the-big-fan"],
    "express_api": ["ExpressApiStack"],
    "api_to_eventbridge": ["ApiEventBridgeStack"],
}


@pytest.fixture(scope="module")
def deployment(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All five in one account. They leave nothing behind."""
    assembly = tmp_path_factory.mktemp("apps")
    context = json.loads((APPS / "cdk.json").read_text("utf-8"))["context"]
    environment = {**os.environ, "CDK_OUTDIR": str(assembly), "CDK_CONTEXT_JSON": json.dumps(context)}
    command = [sys.executable, synthesise_together.__file__, *(str(APPS / name / "app.py") for name in FIVE)]
    subprocess.run(command, env={**environment, "CDK_VALIDATION": "false"}, check=True)
    local_aws.bootstrap(find_cli(APPS))
    before = inventory(local_aws)
    deployed = local_aws.deploy(assembly, cdk=find_cli(APPS))
    yield deployed
    deployed.destroy()
    assert inventory(local_aws) == before


@pytest.mark.parametrize("name", FIVE)
def test_driven(local_aws: LocalAws, deployment: Deployment, name: str) -> None:
    app = App(local_aws, name, deployment, FIVE[name])
    driver_of(name).drive(app)


def test_nothing_is_ignored(local_aws: LocalAws, deployment: Deployment) -> None:
    assert {str(each) for each in local_aws.dropped_properties()} <= {
        "AWS::StepFunctions::StateMachine.TracingConfiguration"  # there are no traces
    }
