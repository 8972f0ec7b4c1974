"""MQTT topic → IoT rule (SQL) → Lambda; what the rule cannot deliver → SQS.

Use it where single messages of devices need code. Do not use it to store every message of many devices: rules
write to DynamoDB, Firehose, Kinesis and Timestream themselves, and a stream has batches.
"""

import re

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_send
from cdk_lambda_patterns.core.regions import check_region

_IOT = "iot.amazonaws.com"
# https://docs.aws.amazon.com/iot/latest/developerguide/iot-sql-reference.html
_SQL = re.compile(r"\s*(SET\s+@.+?\s)?SELECT\s.+?\sFROM\s+'(?P<filter>[^']+)'", re.IGNORECASE | re.DOTALL)
_CONDITION = re.compile(r"(\s+WHERE\s+\S.*)?\s*", re.IGNORECASE | re.DOTALL)
_SQL_VERSION = "2016-03-23"
# https://docs.aws.amazon.com/general/latest/gr/iot-core.html#message-broker-limits
_LONGEST_TOPIC, _MOST_SLASHES = 256, 7


@check_types
class IotRule(Construct):
    """A function that AWS IoT invokes with the messages that a rule chooses.

    It builds the rule, the function with the permission for this rule of this account, and two queues. What
    AWS IoT could not deliver, because the permission or the function is gone, goes to the error queue by the
    rule's error action, with the original message in ``base64OriginalPayload``. What the function failed to
    process in three attempts goes to its failure queue.

    A message comes at least once and in no order. Messages that are no JSON, or that ``WHERE`` does not
    match, end in the rule: no action gets them, and no queue. Take what identifies a device from the topic or
    from ``clientid()``, which policies of AWS IoT restrict, and not from the message.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        sql: The statement that chooses messages and makes the event, in SQL version 2016-03-23. Its form and
            topic filter are checked here, and its expressions when AWS makes the rule.
        handler: ``module.function`` in that folder.
        error_queue: A standard queue of this Region. Default: a new one.
        asynchronous: Retries and maximum age of the events that Lambda has accepted.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: The statement has another form than ``[SET @name = ...] SELECT ... FROM 'topic/filter'
            [WHERE ...]``, its filter is invalid, or the queue is FIFO or in another Region.

    Attributes:
        function (HardenedFunction): The function.
        rule (CfnTopicRule): The rule.
        error_queue (IQueue): What AWS IoT could not deliver.
        error_role (Role): The role with which AWS IoT sends to it.
        failure_queue (IQueue | None): What the function failed to process.

    Example::

        IotRule(
            self, "Alarms", code="worker",
            sql="SELECT temperature, topic(2) AS device FROM 'sensors/+/readings' WHERE temperature > 30",
        )

    https://docs.aws.amazon.com/iot/latest/developerguide/lambda-rule-action.html
    https://docs.aws.amazon.com/iot/latest/developerguide/rule-error-handling.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        sql: str,
        handler: str = DEFAULT_HANDLER,
        error_queue: sqs.IQueue | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check_sql(sql)
        check_standard("error_queue", error_queue, "an action of AWS IoT cannot send to one")
        check_region(
            scope, "The error action finds the queue in its own Region", {"error_queue": error_queue}
        )
        super().__init__(scope, id)

        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            asynchronous=asynchronous or AsyncOptions(),
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        self.failure_queue = self.function.failure_queue
        self.error_queue: sqs.IQueue = error_queue or make_failure_queue(
            self, "ErrorQueue", removal_policy=removal_policy
        )
        self.error_role = self._make_error_role()
        self.rule = iot.CfnTopicRule(
            self,
            "Rule",
            topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
                sql=sql,
                aws_iot_sql_version=_SQL_VERSION,
                actions=[
                    iot.CfnTopicRule.ActionProperty(
                        lambda_=iot.CfnTopicRule.LambdaActionProperty(function_arn=self.function.function_arn)
                    )
                ],
                error_action=iot.CfnTopicRule.ActionProperty(
                    sqs=iot.CfnTopicRule.SqsActionProperty(
                        queue_url=self.error_queue.queue_url,
                        role_arn=self.error_role.role_arn,
                        use_base64=False,
                    )
                ),
            ),
        )
        # Without both conditions, any account could make a rule that invokes the function.
        self.function.add_permission(
            "Rule",
            principal=iam.ServicePrincipal(_IOT),
            source_arn=self.rule.attr_arn,
            source_account=Stack.of(self).account,
        )

    def _make_error_role(self) -> iam.Role:
        """The role of the error action. It cannot name the rule, which needs the role first."""
        stack = Stack.of(self)
        rules = stack.format_arn(service="iot", resource="rule", resource_name="*")
        conditions = {
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": rules},
        }
        role = iam.Role(self, "ErrorRole", assumed_by=iam.ServicePrincipal(_IOT, conditions=conditions))
        grant_send(role, self.error_queue)
        return role


def _check_sql(sql: str) -> None:
    if Token.is_unresolved(sql):
        return
    found = _SQL.match(sql)
    if found is None or _CONDITION.fullmatch(sql, found.end()) is None:
        raise ValueError(
            f"sql={sql[:60]!r}: give SELECT, then FROM and a topic filter in quotes, then WHERE and a "
            "condition if you need one, and nothing else; SET may come first."
        )
    levels = found["filter"].split("/")
    wrong = any(set("+#") & set(level) and level not in ("+", "#") for level in levels) or "#" in levels[:-1]
    wrong = wrong or len(levels) - 1 > _MOST_SLASHES or "\0" in found["filter"]
    if wrong or len(found["filter"].encode()) > _LONGEST_TOPIC:
        raise ValueError(
            f"sql: the topic filter {found['filter'][:60]!r} is invalid; + is one whole level, # is the last "
            f"one, and a filter has at most {_LONGEST_TOPIC} bytes and {_MOST_SLASHES} slashes, and no NUL."
        )
