"""Mail → SES receipt rule → Lambda (lets it pass or stops it) → S3 → Lambda.

Use it to process mail that arrives at a domain of yours. Do not use it for mailboxes that people read
(WorkMail), or for bounces and complaints of mail that you send (configuration sets report those).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jsii
from aws_cdk import Annotations, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, check_strings
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions
from cdk_lambda_patterns.core.permissions import (
    grant_on_objects,
    grant_use_of_key,
    warn_if_not_granted,
)
from cdk_lambda_patterns.core.regions import check_region

_SES = "ses.amazonaws.com"
# SES waits this long for the disposition.
# https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-lambda.html
_SCREEN = Limit("SES", 1, 30, "seconds")
# https://docs.aws.amazon.com/ses/latest/dg/receiving-email-receipt-rules-console-walkthrough.html
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_RECIPIENT = re.compile(rf"([\w.!#$%&'+/=?^`{{|}}~-]+@|\.)?{_LABEL}(\.{_LABEL})+", re.ASCII)
# https://docs.aws.amazon.com/ses/latest/dg/quotas.html
_RECIPIENTS = Limit("SES", 1, 500, "recipients of a rule")
_PREFIX = Limit("S3", 0, 1024 - 64, "bytes of a key, besides the id of the mail")


@check_types
class SesInbound(Construct):
    """Two functions for the mail that SES receives: one before it is stored, and one afterwards.

    It builds a receipt rule with three actions: ``screen`` (synchronous: its disposition decides whether the
    mail goes on), the bucket, and ``function`` (asynchronous). The bucket, its key and both functions allow
    SES for this rule set of this account only. SES scans each mail for spam and viruses: the verdicts are in
    the event. The event has the headers; the body is in the bucket only, under the prefix and the id of the
    message. ``function`` gets ``BUCKET_NAME`` and ``KEY_PREFIX``, and may read there.

    One rule set of an account and Region is active, and CloudFormation cannot choose it. So SES uses a new
    rule set only after ``aws ses set-active-receipt-rule-set``; give the active one to add a rule to it. SES
    receives mail in some Regions only, and for domains whose MX record names it.

    The policy of a bucket from another stack allows SES for every rule set of this account, because that
    stack is deployed first.

    Args:
        recipients: Addresses (``help@example.com``), domains (``example.com``), or all subdomains of one
            (``.example.com``).
        code: The folder of both handlers, or any ``lambda_.Code``.
        screen_handler: ``module.function`` that returns ``{"disposition": ...}``: ``CONTINUE``, ``STOP_RULE``
            or ``STOP_RULE_SET``.
        handler: ``module.function`` that processes stored mail.
        rule_set: The rule set to which the rule is added, as its first one. Default: a new one.
        bucket: Where mail is stored. Default: a new one.
        key_prefix: What the keys of mails start with, without the wildcards of policies.
        asynchronous: Retries and maximum age of the events of stored mail.
        function_options: Settings of the function for stored mail. Default: 512 MB, 60 seconds.
        removal_policy: What happens to mail, failure queue and logs when the stack is deleted. Default: they
            are retained.

    Raises:
        ValueError: A recipient is malformed or given twice, there is none or more than 500, the prefix has a
            wildcard, or the bucket is in another Region.

    Attributes:
        function (HardenedFunction): The function for stored mail.
        screen (HardenedFunction): The function that lets mail pass.
        bucket (IBucket): Where mail is stored.
        rule_set (IReceiptRuleSet): The rule set.
        rule (ReceiptRule): The rule.
        failure_queue (IQueue | None): What the function failed to process.

    Example::

        SesInbound(
            self, "Tickets", recipients=["help@example.com"], code="worker",
            screen_handler="handler.handler",
        )

    https://docs.aws.amazon.com/ses/latest/dg/receiving-email-permissions.html
    https://docs.aws.amazon.com/ses/latest/dg/receiving-email-action-s3.html
    https://docs.aws.amazon.com/ses/latest/dg/regions.html#region-receive-email
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        recipients: Sequence[str],
        code: Code,
        screen_handler: str,
        handler: str = DEFAULT_HANDLER,
        rule_set: ses.IReceiptRuleSet | None = None,
        bucket: s3.IBucket | None = None,
        key_prefix: str = "mail/",
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check_recipients(recipients)
        _check_prefix(key_prefix)
        check_region(scope, "SES writes to buckets of its own Region without a role only", {"bucket": bucket})
        super().__init__(scope, id)

        self.bucket: s3.IBucket = bucket or make_bucket(
            self, "Bucket", versioned=False, removal_policy=removal_policy
        )
        self.rule_set: ses.IReceiptRuleSet = rule_set or ses.ReceiptRuleSet(self, "RuleSet")
        self.screen = HardenedFunction(
            self,
            "Screen",
            code=code,
            handler=screen_handler,
            description="Lets mail pass, or ends the rule for it",
            options=FunctionOptions(timeout=Duration.seconds(_SCREEN.high)),
            removal_policy=removal_policy,
        )
        options = function_options or FunctionOptions()
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={"BUCKET_NAME": self.bucket.bucket_name, "KEY_PREFIX": key_prefix},
            asynchronous=asynchronous or AsyncOptions(),
            options=options.with_defaults(memory_size=512, timeout=Duration.seconds(60)),
            removal_policy=removal_policy,
        )
        self.failure_queue: sqs.IQueue | None = self.function.failure_queue
        role = self.function.execution_role
        reason = "The keys of mails are the prefix and the ids that SES gives them."
        grant_on_objects(role, self.bucket, "s3:GetObject", prefix=key_prefix, reason=reason)
        grant_use_of_key(role, self.bucket.encryption_key, "kms:Decrypt")

        self.rule = ses.ReceiptRule(
            self,
            "Rule",
            rule_set=self.rule_set,
            recipients=list(recipients),
            scan_enabled=True,
            actions=[
                _Action(lambda_action=_call(self.screen, "RequestResponse")),
                _Action(
                    s3_action=ses.S3ActionConfig(
                        bucket_name=self.bucket.bucket_name, object_key_prefix=key_prefix
                    )
                ),
                _Action(lambda_action=_call(self.function, "Event")),
            ],
        )
        self._allow_ses(key_prefix)

    def _conditions(self, rule_set: str) -> dict[str, Any]:
        """The conditions for the rules of a set. None can name this rule, which needs the policies first."""
        stack = Stack.of(self)
        arn = stack.format_arn(service="ses", resource="receipt-rule-set", resource_name=rule_set)
        return {
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": f"{arn}:receipt-rule/*"},
        }

    def _allow_ses(self, key_prefix: str) -> None:
        """Let SES invoke the functions and write mail, before it tries that when the rule is made."""
        name = self.rule_set.receipt_rule_set_name
        conditions, principal = self._conditions(name), iam.ServicePrincipal(_SES)
        for function in (self.screen, self.function):
            function.add_permission(
                "Ses",
                principal=principal,
                source_arn=conditions["ArnLike"]["aws:SourceArn"],
                source_account=Stack.of(self).account,
            )
            self.rule.node.add_dependency(function.node.find_child("Ses"))
        if Stack.of(self.bucket) is not Stack.of(self):  # it is deployed before this rule set
            conditions = self._conditions("*")
        added = self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[principal],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects(f"{key_prefix}*")],
                conditions=conditions,
            )
        )
        if added.policy_dependable is not None:
            self.rule.node.add_dependency(added.policy_dependable)
        if not added.statement_added:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:notGranted",
                f"{self.bucket.node.path} is imported, so its policy cannot be changed here. Its owner must "
                f"allow {_SES} s3:PutObject for the rules of this rule set; until then the deployment fails.",
            )
        if key := self.bucket.encryption_key:
            grantee = iam.ServicePrincipal(_SES, conditions=conditions)
            grant = iam.Grant.add_to_principal_or_resource(
                grantee=grantee,
                actions=["kms:GenerateDataKey", "kms:Decrypt"],
                resource_arns=[key.key_arn],
                resource_self_arns=["*"],
                resource=key,
            )
            warn_if_not_granted(self, grant, grantee, key)


@jsii.implements(ses.IReceiptRuleAction)
class _Action:
    """An action of a rule. Those of ``aws_ses_actions`` allow SES for every rule of the account."""

    def __init__(self, **config: Any) -> None:
        self._config = ses.ReceiptRuleActionConfig(**config)

    def bind(self, _rule: ses.IReceiptRule) -> ses.ReceiptRuleActionConfig:
        """Return the action. The CDK calls this."""
        return self._config


def _call(function: HardenedFunction, invocation_type: str) -> ses.LambdaActionConfig:
    return ses.LambdaActionConfig(function_arn=function.function_arn, invocation_type=invocation_type)


def _check_prefix(prefix: str) -> None:
    if Token.is_unresolved(prefix):
        return
    if any(wildcard in prefix for wildcard in ("*", "?", "${")):
        raise ValueError(
            f"key_prefix={prefix[:60]!r}: *, ? and ${{ are wildcards in the policies of the function and of "
            "the bucket; leave them out."
        )
    _PREFIX.check("len(key_prefix)", len(prefix.encode()))


def _check_recipients(recipients: Sequence[str]) -> None:
    check_strings("recipients", recipients)
    if not recipients:
        raise ValueError(
            "recipients=[]: give addresses or domains; an empty list would be all of the account."
        )
    if Token.is_unresolved(list(recipients)):
        return
    _RECIPIENTS.check("len(recipients)", len(recipients))
    if repeated := {one for one, count in Counter(map(str.lower, recipients)).items() if count > 1}:
        raise ValueError(f"recipients: {', '.join(sorted(repeated))[:80]} is given twice; give it once.")
    for number, one in enumerate(recipients):
        if not _RECIPIENT.fullmatch(one) and not Token.is_unresolved(one):
            raise ValueError(
                f"recipients[{number}]={one!r}: give an address (help@example.com), a domain (example.com) "
                "or all subdomains of one (.example.com)."
            )
