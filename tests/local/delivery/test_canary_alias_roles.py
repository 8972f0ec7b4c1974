"""The roles of the canary alias: without any one grant of them, a release fails, or old versions stay."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.delivery import canary_alias
from scenarios.framework import DeployedStack
from tasks.demo import deploy
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = [pytest.mark.local, pytest.mark.full]

_OLD_VERSIONS = 4

#: How many grants each role has, beside those that cannot be enforced, by the output that names its user.
GRANTS = {"PreTrafficFunctionName": 3, "PostTrafficFunctionName": 7, "DeploymentGroupName": 5}


@pytest.fixture(scope="module")
def stack(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> DeployedStack:
    """The stack, its alias with provisioned concurrency, and with more versions than are kept."""
    folder = tmp_path_factory.mktemp("canary-alias-roles")
    stack = DeployedStack("canary-alias", deploy("canary-alias", local_aws, folder), local_aws.session)
    stack.client("lambda").put_provisioned_concurrency_config(
        FunctionName=stack.output("FunctionName"), Qualifier="live", ProvisionedConcurrentExecutions=1
    )
    for _ in range(_OLD_VERSIONS):
        canary_alias.smoke(stack)
    return stack


@pytest.mark.parametrize("role_of", GRANTS)
def test_a_release_needs_every_grant(stack: DeployedStack, role_of: str) -> None:
    function, role = stack.output("PreTrafficFunctionName"), None
    if role_of == "DeploymentGroupName":
        group = stack.client("codedeploy").get_deployment_group(
            applicationName=stack.output("ApplicationName"), deploymentGroupName=stack.output(role_of)
        )
        role = group["deploymentGroupInfo"]["serviceRoleArn"].rpartition("/")[2]
    else:
        function = stack.output(role_of)
    findings = try_without_each(
        stack, function, canary_alias.smoke, role=role, plant="s3:PutObject", patience=20
    )
    assert len(findings) == GRANTS[role_of] + 1
    assert [grant.action for grant in superfluous(findings)] == ["s3:PutObject"]
