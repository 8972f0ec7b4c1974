"""Events → bus (with an archive for replays) → rule → function; what EventBridge cannot deliver → queue.

Use it when services must not know each other: one publishes what happened, others subscribe by the content.
Do not use it when order matters or bursts must be buffered (``SqsConsumer``, ``KinesisConsumer``), or when
the publisher needs an answer (``DirectInvoke``).
"""

import hashlib
import json

from aws_cdk import Annotations, Aws, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.callers import check_account, check_organization
from cdk_lambda_patterns.core.dead_letters import allow_dead_letters, check_dead_letters
from cdk_lambda_patterns.core.event_patterns import check_event_pattern, check_input, least_length
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.limits import Limit, number_in
from cdk_lambda_patterns.core.permissions import grant_to_identity
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
_RETRIES = Limit("EventBridge", 0, 185)
_AGE = Limit("EventBridge", 60, 86_400, "seconds")
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateArchive.html
_RETENTION = Limit("EventBridge", 1, 2**31 - 1, "days")
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
_POLICY = Limit("EventBridge", 1, 10_240, "characters")
_SHORTEST_ARN = 49  # of a bus whose name has one character, in eu-west-1
_ACTION = "events:PutEvents"
_SERVICE = "events.amazonaws.com"


@check_types
class EventBus(Construct):
    """An event bus (the classic kind, with rules) with an archive, and the rules for its functions.

    It builds the bus, unless you give one, and the archive. ``add_function`` adds a rule with a function as
    its target. The methods ``grant_put_events…`` say who may publish.

    Args:
        event_bus: Owned, from another stack, or imported; also the account's default one. Default: a new one.
        archive_retention: How long events can be replayed, in whole days. Default: there is no archive.
        archive_pattern: Which events it stores. Default: all.
        removal_policy: What happens to archive and bus when the stack is deleted: EventBridge deletes no bus
            with rules, and an archive has one. Default: they are retained.

    Raises:
        ValueError: The retention is outside what EventBridge allows, or the pattern is given without one,
            too long, or malformed.

    Attributes:
        event_bus (IEventBus): The bus.
        archive (Archive | None): The archive.

    Example::

        bus = EventBus(self, "Shop", archive_retention=Duration.days(30))
        orders = events.EventPattern(source=["shop"], detail_type=["OrderPlaced"])
        function = HardenedFunction(self, "Invoices", code="worker", asynchronous=AsyncOptions())
        bus.add_function("Invoices", function, event_pattern=orders)
        bus.grant_put_events(website)

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus.html
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        event_bus: events.IEventBus | None = None,
        archive_retention: Duration | None = None,
        archive_pattern: events.EventPattern | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if archive_retention is None and archive_pattern is not None:
            raise ValueError("archive_pattern: there is no archive; give archive_retention as well.")
        if archive_retention is not None:
            _RETENTION.check("archive_retention", number_in("days", "archive_retention", archive_retention))
        super().__init__(scope, id)
        self._removal_policy = removal_policy
        self._statements: list[dict[str, object]] = []
        self.event_bus: events.IEventBus = event_bus or self._make_bus()
        self.archive: events.Archive | None = None
        if archive_retention is not None:
            reason = "An archive is in the account and Region of its bus"
            check_region(self, reason, {"event_bus": self.event_bus.event_bus_arn}, in_account=True)
            self.archive = events.Archive(
                self,
                "Archive",
                source_event_bus=self.event_bus,
                event_pattern=archive_pattern or events.EventPattern(),
                retention=archive_retention,
            )
            check_event_pattern("archive_pattern", self.archive)
            self.archive.apply_removal_policy(removal_policy)

    def _make_bus(self) -> events.EventBus:
        # A bus needs a name, and the CDK's would be the same in two deployments of one app.
        bus = events.EventBus(self, "Bus", event_bus_name=f"{Aws.STACK_NAME}-{self.node.addr[-8:]}")
        bus.apply_removal_policy(self._removal_policy)
        return bus

    def add_function(
        self,
        id: str,
        function: lambda_.IFunction,
        *,
        event_pattern: events.EventPattern,
        input: events.RuleTargetInput | None = None,
        ignore_replays: bool = False,
        retry_attempts: int = 185,
        max_event_age: Duration | None = None,
        undelivered_queue: sqs.IQueue | None = None,
    ) -> "BusRule":
        """Add a rule that invokes a function with the events that match a pattern.

        Args:
            id: The id of the rule.
            function: A function or an alias, owned or imported. Make it with
                ``asynchronous=AsyncOptions()``: EventBridge has delivered when Lambda has queued the event.
            event_pattern: Which events.
            input: What the function gets instead of the whole event: ``events.RuleTargetInput.from_object``
                with ``events.EventField``. Default: the event.
            ignore_replays: Whether the rule never matches replayed events.
            retry_attempts: How often EventBridge repeats a call to Lambda that failed, 0 to 185.
            max_event_age: For how long it does, 60 seconds to 24 hours. Default: 24 hours.
            undelivered_queue: The dead-letter queue of the target. Default: a new one.

        Raises:
            ValueError: A value is outside what EventBridge allows, the pattern is empty, too long or
                malformed, or a resource is in another account or Region.
        """
        return BusRule(
            self,
            id,
            event_bus=self.event_bus,
            function=function,
            event_pattern=event_pattern,
            input=input,
            ignore_replays=ignore_replays,
            retry_attempts=retry_attempts,
            max_event_age=max_event_age,
            undelivered_queue=undelivered_queue,
            removal_policy=self._removal_policy,
        )

    def grant_put_events(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a role, a user or a function of this account to publish.

        If the bus is in another account, its owner must allow that as well. A role that is imported from
        another account, or as immutable, gets no policy here: a warning says so.

        Raises:
            ValueError: The grantee has no identity policy here: an account, a service, an ARN.
        """
        arn = self.event_bus.event_bus_arn
        return grant_to_identity(
            self,
            grantee,
            _ACTION,
            arn,
            on=self.event_bus.node.path,
            otherwise="use grant_put_events_to_account or grant_put_events_to_organization, and give it an "
            "identity policy where it is made.",
        )

    def grant_put_events_to_account(self, account: str, *, organization_id: str | None = None) -> None:
        """Allow another account to publish, and to decide which of its users and roles may.

        Args:
            account: The account's id.
            organization_id: The account loses the permission when it leaves this organization.

        Raises:
            ValueError: An id is malformed, or the bus is in another account.
        """
        check_account("account", account)
        root = f"arn:{Aws.PARTITION}:iam::{account}:root"
        self._add_statement("Account", account, {"AWS": root}, organization_id)

    def grant_put_events_to_organization(self, organization_id: str) -> None:
        """Allow every account of an organization to publish (``aws:PrincipalOrgID``).

        Raises:
            ValueError: The id is malformed, or the bus is in another account.
        """
        self._add_statement("Organization", organization_id, "*", organization_id)

    def _add_statement(
        self, kind: str, caller: str, principal: str | dict[str, str], organization_id: str | None
    ) -> None:
        """https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html."""
        if organization_id is not None:
            check_organization("organization_id", organization_id)
        bus = self.event_bus
        reason = "The policy of a bus is set in its own account"
        check_region(self, reason, {"event_bus": bus.event_bus_arn}, in_account=True)
        resolved = json.dumps(Stack.of(self).resolve([kind, caller, organization_id]))
        name = f"{kind}{hashlib.sha256(resolved.encode()).hexdigest()[:8]}"  # also of a token
        if self.node.try_find_child(name) is not None:  # it has been granted
            return
        statement: dict[str, object] = {
            "Effect": "Allow",
            "Principal": principal,
            "Action": _ACTION,
            "Resource": bus.event_bus_arn,
        }
        if organization_id is not None:
            statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": organization_id}}
        sid = f"{name}-{self.node.addr[-8:]}"
        self._check_policy(sid, statement)
        events.CfnEventBusPolicy(
            self,
            name,
            event_bus_name=bus.event_bus_name,
            statement_id=sid,
            statement=statement,
        )

    def _check_policy(self, sid: str, statement: dict[str, object]) -> None:
        """Check that the statements of this construct fit into a policy; there may be others."""
        arn = self.event_bus.event_bus_arn
        if Token.is_unresolved(arn):
            arn = "-" * _SHORTEST_ARN
        self._statements.append(Stack.of(self).resolve({"Sid": sid, **statement, "Resource": arn}))
        policy = {"Version": "2012-10-17", "Statement": self._statements}
        _POLICY.check("length of the policy of the bus", least_length(policy))


@check_types
class BusRule(Construct):
    """A rule of a bus and its function. ``EventBus.add_function`` makes one.

    Use it yourself for a bus that another stack has made.

    Args:
        event_bus: The bus of the rule, owned or imported, in this account and Region.
        function: As for ``EventBus.add_function``, like all that follow.
        event_pattern: Which events.
        input: What the function gets instead of the whole event.
        ignore_replays: Whether the rule never matches replayed events.
        retry_attempts: How often EventBridge repeats a call that failed, 0 to 185.
        max_event_age: For how long it does, 60 seconds to 24 hours. Default: 24 hours.
        undelivered_queue: The dead-letter queue, in the Region of the rule; of another account too, whose
            owner lets EventBridge send to it. Default: a new one.
        removal_policy: What happens to a new queue when the stack is deleted. Default: it is retained.

    Raises:
        ValueError: As for ``EventBus.add_function``.

    Attributes:
        rule (Rule): The rule; ``rule_arn`` is what a replay is given in ``FilterArns``.
        undelivered_queue (IQueue): What EventBridge could not deliver to the function.

    Example::

        paid = events.EventPattern(source=["shop"], detail_type=["OrderPaid"])
        function = HardenedFunction(self, "Receipts", code="worker", asynchronous=AsyncOptions())
        BusRule(self, "Paid", event_bus=bus, function=function, event_pattern=paid)

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        event_bus: events.IEventBus,
        function: lambda_.IFunction,
        event_pattern: events.EventPattern,
        input: events.RuleTargetInput | None = None,
        ignore_replays: bool = False,
        retry_attempts: int = 185,
        max_event_age: Duration | None = None,
        undelivered_queue: sqs.IQueue | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _RETRIES.check("retry_attempts", retry_attempts)
        _AGE.check("max_event_age", max_event_age)
        check_dead_letters("undelivered_queue", undelivered_queue, "EventBridge")
        reason = "A rule is in the account and Region of its bus"
        check_region(scope, reason, {"event_bus": event_bus.event_bus_arn}, in_account=True)
        reason = "The dead-letter queue is used in the Region of its rule"
        check_region(scope, reason, {"undelivered_queue": undelivered_queue})
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-cross-account.html
        reason = (
            "EventBridge delivers to no other Region, and to functions of other accounts with a role, which "
            "this construct does not make"
        )
        check_region(scope, reason, {"function": function}, in_account=True)
        super().__init__(scope, id)
        self.rule = events.Rule(self, "Rule", event_bus=event_bus, event_pattern=event_pattern)
        resource = self.rule.node.default_child
        assert isinstance(resource, events.CfnRule)
        # The CDK's EventPattern does not know this field.
        live = {"replay-name": [{"exists": False}]} if ignore_replays else {}
        check_event_pattern("event_pattern", self.rule, live)
        for field, value in live.items():
            resource.add_property_override(f"EventPattern.{field}", value)
        check_input("input", input, self.rule)
        self.undelivered_queue: sqs.IQueue = undelivered_queue or make_failure_queue(
            self, "UndeliveredQueue", removal_policy=removal_policy
        )
        self.rule.add_target(
            targets.LambdaFunction(
                function,
                event=input,
                retry_attempts=retry_attempts,
                max_event_age=max_event_age or Duration.days(1),
                dead_letter_queue=allow_dead_letters(self, self.undelivered_queue, _SERVICE),
            )
        )
        self._warn_if_not_invoked(function)

    def _warn_if_not_invoked(self, function: lambda_.IFunction) -> None:
        """The CDK adds no permission to a function that may be in another account, and says nothing."""
        if not any(child.node.id.startswith("AllowEventRule") for child in self.rule.node.children):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:notGranted",
                f"{function.node.path} is imported, so its policy cannot be changed here. Its owner must "
                f"allow {_SERVICE} lambda:InvokeFunction for the rule. If it is in the account of the "
                "stack, import it with from_function_attributes(..., same_environment=True).",
            )
