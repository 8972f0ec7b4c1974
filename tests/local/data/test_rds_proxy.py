"""The function behind RDS Proxy, deployed with the real CDK CLI before a real PostgreSQL, IAM enforced."""

from __future__ import annotations

import pytest

from localaws import LocalAws
from scenarios.data import rds_proxy
from scenarios.data.bookings import Bookings
from scenarios.data.unpooled import unpooled_function
from scenarios.framework import DeployedStack, Story
from scenarios.support.faults import Faults
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each

pytestmark = pytest.mark.local


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), rds_proxy.ACCEPTED_NOT_EMULATED)


def test_more_callers_than_connections_are_served(stack: DeployedStack) -> None:
    outcome = rds_proxy.run(stack)
    assert any("none pinned" in line for line in outcome.story)
    assert Bookings(stack).max_connections == 20


def test_the_same_handler_also_books_past_the_proxy(stack: DeployedStack) -> None:
    bookings = Bookings(stack)
    with unpooled_function(stack, bookings.function) as unpooled:
        assert bookings.book(bookings.request_ids(1)[0], function=unpooled).error is None
    bookings.close()


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


@pytest.mark.parametrize("role_of", ["FunctionName", "ProxyName"])
def test_neither_role_can_do_without_its_permission_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    role = None
    if role_of == "ProxyName":
        proxy = stack.client("rds").describe_db_proxies(DBProxyName=stack.output(role_of))["DBProxies"][0]
        role = proxy["RoleArn"].rpartition("/")[2]
    findings = try_without_each(
        stack,
        stack.output("FunctionName"),
        rds_proxy.smoke,
        role=role,
        plant="secretsmanager:DescribeSecret",
        new_instances=True,  # an open connection outlives the right to connect
    )
    assert len(findings) == 2
    assert [grant.action for grant in superfluous(findings)] == ["secretsmanager:DescribeSecret"]
