"""Deploys a shop's bus with an archive: a function that publishes orders, and two that act on them."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.events.event_bus import EventBus
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class EventBusStack(PatternStack):
    """Invoices and mails in a table, one for each order that was placed.

    The context ``caller-account`` lets another account publish, ``organization`` the accounts of an
    organization.

    A demonstration: deleting the stack deletes table and archive (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        self._table = make_table(
            self,
            "Effects",
            partition_key=text("consumer"),
            sort_key=text("order_id"),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._shop = EventBus(
            self, "Shop", archive_retention=Duration.days(7), removal_policy=RemovalPolicy.DESTROY
        )
        publisher = self._function(
            "Publisher", "shop", environment={"EVENT_BUS_NAME": self._shop.event_bus.event_bus_name}
        )
        self._shop.grant_put_events(publisher)
        order = {"order": events.EventField.from_path("$.detail")}
        self._consumer("Invoices", {}, input=events.RuleTargetInput.from_object(order))
        self._consumer("Mails", {"REPLAYS": "skip"})  # a mail about an old order would only confuse
        if account := self.node.try_get_context("caller-account"):
            self._shop.grant_put_events_to_account(str(account))
        if organization := self.node.try_get_context("organization"):
            self._shop.grant_put_events_to_organization(str(organization))
        self.output("EventBusName", self._shop.event_bus.event_bus_name)
        self.output("EventBusArn", self._shop.event_bus.event_bus_arn)
        if self._shop.archive is not None:
            self.output("ArchiveArn", self._shop.archive.archive_arn)
        self.output("EffectsTableName", self._table.table_name)

    def _consumer(self, name: str, environment: dict[str, str], **more: Any) -> None:
        function = self._function(
            name,
            "handler",
            environment={"TABLE_NAME": self._table.table_name, "CONSUMER": name, **environment},
            asynchronous=AsyncOptions(),
        )
        self._table.grant(function, "dynamodb:UpdateItem")
        placed = events.EventPattern(source=["shop"], detail_type=["OrderPlaced"])
        rule = self._shop.add_function(f"{name}Rule", function, event_pattern=placed, **more)
        self.output(f"{name}RuleArn", rule.rule.rule_arn)
        self.output(f"{name}UndeliveredQueueUrl", rule.undelivered_queue.queue_url)
        if function.failure_queue is not None:
            self.output(f"{name}FailureQueueUrl", function.failure_queue.queue_url)

    def _function(self, name: str, module: str, **more: Any) -> HardenedFunction:
        function = HardenedFunction(
            self,
            name,
            code=pattern_source("events", "event_bus"),
            handler=f"event_bus.{module}.handler",
            options=FunctionOptions(
                timeout=Duration.seconds(10), environment={"POWERTOOLS_SERVICE_NAME": "event-bus"}
            ),
            removal_policy=RemovalPolicy.DESTROY,
            **more,
        )
        self.output(f"{name}FunctionName", function.function_name)
        return function
