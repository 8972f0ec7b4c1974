"""Lex V2 bot → Lambda code hook, and Alexa skill → Lambda.

Use them for conversations whose answers need code. Both services wait for the answer, and have no queue: what
takes longer than a person waits belongs behind a queue of your own.
"""

import re
from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.callers import check_pattern
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, check_strings
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/lexv2/latest/APIReference/API_DescribeBotAlias.html
_ALIAS = re.compile(r"arn:[a-z-]+:lex:[a-z0-9-]+:[0-9]{12}:bot-alias/[0-9A-Z]{10}/[0-9A-Z]{10}")
# https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
_SKILL = re.compile(r"[A-Za-z0-9._-]{1,256}")
# Alexa waits for 8 seconds, and the answer has to travel.
# https://developer.amazon.com/en-US/blogs/alexa/alexa-skills-kit/2019/10/tips-for-developing-high-performance-alexa-skills1
_ALEXA_SECONDS = 7
_ALEXA = Limit("Alexa", 1, 8, "seconds")


@check_types
class LexCodeHook(Construct):
    """A function for the code hooks of aliases of a Lex V2 bot: dialog and fulfillment.

    It builds the function, and the permission for these aliases in this account. Name it in the settings of
    each alias, by locale (``CodeHookSpecification`` of ``AWS::Lex::BotAlias``), and switch on the hooks of
    the intents. Lex answers the user's client with an error if the function fails (424) or is throttled
    (429): a handler that cannot do the work returns the intent's state ``Failed`` instead.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        bot_alias_arns: ARNs of the aliases, of this account and Region:
            ``arn:aws:lex:REGION:ACCOUNT:bot-alias/BOT_ID/ALIAS_ID``.
        handler: ``module.function`` in that folder.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: There is no alias, an ARN is none of a bot's alias, or is of another Region or account.

    Attributes:
        function (HardenedFunction): The function.

    Example::

        name = "BOT_ID/ALIAS_ID"
        alias = Stack.of(self).format_arn(service="lex", resource="bot-alias", resource_name=name)
        LexCodeHook(self, "Orders", code="worker", bot_alias_arns=[alias])

    https://docs.aws.amazon.com/lexv2/latest/dg/lambda-attach.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-lex.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        bot_alias_arns: Sequence[str],
        handler: str = DEFAULT_HANDLER,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_strings("bot_alias_arns", bot_alias_arns)
        if not bot_alias_arns:
            raise ValueError("bot_alias_arns=[]: no bot could call; give the ARN of at least one alias.")
        given = {f"bot_alias_arns[{number}]": arn for number, arn in enumerate(bot_alias_arns)}
        for name, arn in given.items():
            allowed = "the ARN of a bot's alias, such as arn:aws:lex:REGION:ACCOUNT:bot-alias/BOT_ID/ALIAS_ID"
            check_pattern(name, arn, _ALIAS, allowed)
        check_region(scope, "A bot calls functions of its own Region and account", given, in_account=True)
        super().__init__(scope, id)

        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        for number, arn in enumerate(bot_alias_arns, start=1):
            self.function.add_permission(
                f"Lex{number if number > 1 else ''}",
                principal=iam.ServicePrincipal("lexv2.amazonaws.com"),
                source_arn=arn,
                source_account=Stack.of(self).account,
            )


@check_types
class AlexaSkill(Construct):
    """A function that is the endpoint of a custom skill of Alexa.

    It builds the function, and the permission for Alexa, for this skill only: Alexa sends its id as
    ``lambda:EventSourceToken``. ``SKILL_ID`` is the id; a handler compares it with that in the request. Enter
    the ARN of the function as the endpoint of the skill. The skill's requests are not signed, because IAM
    decides who calls Lambda: only a web service must verify signatures.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        skill_id: ``amzn1.ask.skill.`` and a UUID, as the developer console shows it.
        handler: ``module.function`` in that folder.
        function_options: Settings of the function. Default: 256 MB, 7 seconds; Alexa waits for 8.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: The id has other characters than Lambda allows, or the timeout is more than 8 seconds.

    Attributes:
        function (HardenedFunction): The function.

    Example::

        AlexaSkill(
            self, "Coffee", code="worker",
            skill_id="amzn1.ask.skill.00000000-0000-0000-0000-000000000000",
        )

    https://developer.amazon.com/en-US/docs/alexa/custom-skills/host-a-custom-skill-as-an-aws-lambda-function.html
    https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        skill_id: str,
        handler: str = DEFAULT_HANDLER,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_pattern("skill_id", skill_id, _SKILL, "the id of a skill, such as 'amzn1.ask.skill.<UUID>'")
        options = function_options or FunctionOptions()
        _ALEXA.check("function_options.timeout", options.timeout)
        super().__init__(scope, id)

        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={"SKILL_ID": skill_id},
            options=options.with_defaults(timeout=Duration.seconds(_ALEXA_SECONDS)),
            network=network,
            removal_policy=removal_policy,
        )
        self.function.add_permission(
            "Alexa",
            principal=iam.ServicePrincipal("alexa-appkit.amazon.com"),
            event_source_token=skill_id,
        )
