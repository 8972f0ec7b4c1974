"""Deploys a small shop with an API, a queue, a stream and asynchronous mails, and monitors all of it."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from constructs import Construct

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from cdk_lambda_patterns.observability.monitoring import Alarms, Monitoring
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer, DynamoDbStreamConsumerOptions
from cdk_lambda_patterns.web.http_api import HttpApi, HttpApiOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

_HANDLER = "monitoring.handler."


class MonitoringStack(PatternStack):
    """A shop: orders from an API, shipped from a queue, counted from a stream, and confirmed by mail.

    The alarms are quicker than by default, so that a person sees them go off within minutes.

    A demonstration: deleting the stack deletes table, queues and key (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        code, destroy = pattern_source("observability", "monitoring"), RemovalPolicy.DESTROY
        orders = make_table(
            self,
            "Orders",
            partition_key=text("order"),
            stream=dynamodb.StreamViewType.KEYS_ONLY,
            removal_policy=destroy,
        )
        mailer = HardenedFunction(
            self,
            "Mailer",
            code=code,
            handler=f"{_HANDLER}mail",
            asynchronous=AsyncOptions(),
            removal_policy=destroy,
        )
        shipping = SqsConsumer(self, "Shipping", code=code, handler=f"{_HANDLER}ship", removal_policy=destroy)
        counting = DynamoDbStreamConsumer(
            self,
            "Counting",
            table=orders,
            code=code,
            handler=f"{_HANDLER}count",
            options=DynamoDbStreamConsumerOptions(batch_size=1, retry_attempts=1),
            removal_policy=destroy,
        )
        website = HardenedFunction(
            self,
            "Website",
            code=code,
            handler=f"{_HANDLER}place",
            options=FunctionOptions(timeout=Duration.seconds(20)),
            environment={
                "ORDERS_TABLE_NAME": orders.table_name,
                "SHIPPING_QUEUE_URL": shipping.queue.queue_url,
                "MAIL_FUNCTION_NAME": mailer.function_name,
            },
            removal_policy=destroy,
        )
        orders.grant(website, "dynamodb:PutItem")
        shipping.queue.grant(website, "sqs:SendMessage")
        # Without the qualified ARNs of CDK's grant_invoke: only the function itself is invoked.
        website.add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[mailer.function_arn])
        )
        api = HttpApi(
            self,
            "Api",
            authorization=HttpIamAuthorizer(),
            function=website,
            options=HttpApiOptions(throttle=apigatewayv2.ThrottleSettings(rate_limit=100, burst_limit=100)),
            removal_policy=destroy,
        )
        monitoring = Monitoring(
            self,
            "Monitoring",
            patterns=[api, shipping, counting, mailer],
            alarms=Alarms(
                duration_rate=50,
                queue_age=Duration.seconds(10),
                stream_age=Duration.seconds(10),
                event_age=Duration.minutes(2),
                minimum_count=5,
                period=Duration.minutes(1),
                evaluation_periods=1,
                datapoints_to_alarm=1,
            ),
            removal_policy=destroy,
        )
        notifications = make_failure_queue(self, "Notifications", removal_policy=destroy)
        assert monitoring.topic is not None
        subscription = monitoring.topic.add_subscription(subscriptions.SqsSubscription(notifications))
        reason = "SNS retries a queue of the same account for weeks; the demo only looks at the messages."
        acknowledge(subscription, {"Serverless-SNSRedrivePolicy": reason})
        self._add_outputs(website, mailer, shipping, counting, api, monitoring)
        self.output("OrdersTableName", orders.table_name)
        self.output("NotificationsQueueUrl", notifications.queue_url)

    def _add_outputs(
        self,
        website: HardenedFunction,
        mailer: HardenedFunction,
        shipping: SqsConsumer,
        counting: DynamoDbStreamConsumer,
        api: HttpApi,
        monitoring: Monitoring,
    ) -> None:
        assert mailer.failure_queue is not None
        assert shipping.dead_letter_queue is not None
        assert isinstance(counting.failure_destination, sqs.Queue)
        assert monitoring.composite_alarm is not None
        assert monitoring.dashboard is not None
        self.output("ApiUrl", api.url)
        self.output("WebsiteFunctionName", website.function_name)
        self.output("MailerFunctionName", mailer.function_name)
        self.output("ShippingFunctionName", shipping.function.function_name)
        self.output("CountingFunctionName", counting.function.function_name)
        self.output("ShippingMappingId", shipping.event_source_mapping.event_source_mapping_id)
        self.output("ShippingQueueUrl", shipping.queue.queue_url)
        self.output("ShippingDeadLetterQueueUrl", shipping.dead_letter_queue.queue_url)
        self.output("MailerFailureQueueUrl", mailer.failure_queue.queue_url)
        self.output("CountingFailureQueueUrl", counting.failure_destination.queue_url)
        self.output("UsersAreHurtAlarmName", monitoring.composite_alarm.alarm_name)
        self.output("DashboardName", monitoring.dashboard.dashboard_name)
        names = {label: alarm.alarm_name for label, alarm in monitoring.alarms.items()}
        self.output("AlarmNames", self.to_json_string(names))
        self.output("QueryPrefix", f"{self.stack_name}/Monitoring/")
