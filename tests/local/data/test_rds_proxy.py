"""The function behind RDS Proxy, deployed with the real CDK CLI before a real PostgreSQL, IAM enforced."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.data import rds_proxy
from scenarios.data.bookings import Bookings
from scenarios.faults import Faults
from scenarios.framework import DeployedStack, ScenarioFailed, Story
from tasks.demo import check_dropped, deploy

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def stack(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> DeployedStack:
    folder = tmp_path_factory.mktemp("rds-proxy")
    outputs = deploy("rds-proxy", local_aws, folder)
    return DeployedStack("rds-proxy", outputs, local_aws.session, out=folder / "out", patience=20)


@pytest.fixture
def faults(local_aws: LocalAws) -> Faults:
    return Faults(local_aws.session)


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), rds_proxy.ACCEPTED_NOT_EMULATED)


def test_more_callers_than_connections_are_served(stack: DeployedStack) -> None:
    outcome = rds_proxy.run(stack)
    assert any("none pinned" in line for line in outcome.story)
    assert Bookings(stack).max_connections == 20


@pytest.mark.full
def test_without_the_pool_callers_fail_and_a_failover_loses_nothing(
    stack: DeployedStack, faults: Faults
) -> None:
    outcome = rds_proxy.drill(stack, faults)
    assert any("past the proxy" in line for line in outcome.story)
    assert any("none was lost, none made twice" in line for line in outcome.story)


@pytest.mark.full
def test_hundreds_at_once_succeed_through_the_pool_and_fail_without_it(stack: DeployedStack) -> None:
    bookings = Bookings(stack)
    rds_proxy.pool_or_none(stack, bookings, Story("hundreds"), 200)
    bookings.close()


@pytest.mark.parametrize("role_of", ["function", "proxy"])
def test_neither_role_can_do_without_its_permission(
    stack: DeployedStack, faults: Faults, role_of: str
) -> None:
    bookings = Bookings(stack)
    if role_of == "function":
        role, action = bookings.role, "rds-db:connect"
    else:
        proxy = stack.client("rds").describe_db_proxies(DBProxyName=stack.output("ProxyName"))["DBProxies"][0]
        role, action = proxy["RoleArn"].rpartition("/")[2], "secretsmanager:GetSecretValue"
    with (
        faults.without_permission(role, action),
        faults.environment(bookings.function, NEW_INSTANCES=role_of),
        pytest.raises(ScenarioFailed, match=r"IAM authentication failed|no credentials"),
    ):
        rds_proxy.smoke(stack)
    rds_proxy.smoke(stack)
