"""The bookings service behind RDS Proxy, deployed by the real CDK CLI, with PostgreSQL and IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.data import rds_proxy
from scenarios.data.rds_proxy.bookings import booking
from scenarios.data.rds_proxy.drill import compare_with_unpooled
from scenarios.data.rds_proxy.unpooled import unpooled_function
from scenarios.framework import DeployedStack, Outcome, Story
from tests.local.database_users import FORBIDDEN, allowed

pytestmark = pytest.mark.local


def test_more_callers_than_connections_are_served(stack: DeployedStack, outcome: Outcome) -> None:
    facts = outcome.facts
    assert int(facts["environments"]) > 20
    assert int(facts["database_connections"]) <= 20
    assert facts["pinned_sessions"] == 0
    assert facts["replays"] == 9
    assert stack.output("MaxConnections") == "20"


def test_the_same_handler_also_books_without_the_proxy(stack: DeployedStack) -> None:
    with booking(stack) as bookings:
        with unpooled_function(stack, bookings.function) as unpooled:
            assert bookings.book(bookings.request_ids(1)[0], function=unpooled).error is None
            assert rds_proxy.leftovers(stack) == [f"function: {unpooled}"]
        assert rds_proxy.leftovers(stack) == []


def test_the_functions_user_cannot_change_what_it_uses_and_the_owners_rotation_does_not_concern_it(
    stack: DeployedStack,
) -> None:
    statements = [
        *FORBIDDEN,
        "DROP TABLE accounts",
        "ALTER TABLE accounts ADD note text",
        "DELETE FROM bookings",
    ]
    host = stack.output("ProxyEndpoint")
    with booking(stack) as bookings:
        assert bookings.book(bookings.request_ids(1)[0]).error is None
        assert allowed(stack, host, bookings.user, [*statements, "SELECT 1"]) == ["SELECT 1"]
        rds = stack.client("rds")
        instance = {"DBInstanceIdentifier": stack.output("DatabaseIdentifier")}
        rds.modify_db_instance(**instance, RotateMasterUserPassword=True, ApplyImmediately=True)
        rds.reboot_db_instance(**instance)  # so that the proxy connects again
        assert bookings.book(bookings.request_ids(1)[0]).error is None
        assert allowed(stack, host, "app_owner", ["CREATE ROLE other", "DROP ROLE other"])


@pytest.mark.full
def test_without_the_pool_callers_fail_and_a_failover_loses_nothing(drilled: Outcome) -> None:
    facts = drilled.facts
    assert int(facts["failed_without_pool"]) > 0
    assert facts["lost_in_failover"] == 0
    assert facts["rejected_clients"] == 4


@pytest.mark.full
def test_hundreds_at_once_succeed_through_the_pool_and_fail_without_it(stack: DeployedStack) -> None:
    with booking(stack) as bookings:
        story = Story("hundreds")
        compare_with_unpooled(stack, bookings, story, 200)
    assert int(story.outcome().facts["failed_without_pool"]) > 0
