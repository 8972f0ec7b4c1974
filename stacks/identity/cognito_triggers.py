"""Deploys a user pool with four triggers, a table of profiles and an app client; deleted with the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.table import make_table, text
from cdk_lambda_patterns.identity.cognito_triggers import CognitoTriggers, Trigger
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# Mail to this domain reaches the simulator of SES, which accepts it. Nothing bounces.
_ALLOWED_DOMAINS = "simulator.amazonses.com"


class CognitoTriggersStack(PatternStack):
    """Users of some email domains, each with a profile, and with plan and tenant in their tokens.

    The context ``allowed-domains`` sets the domains: ``-c allowed-domains=example.com,example.org``.

    A demonstration: deleting the stack deletes users and profiles too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        table = make_table(
            self, "Profiles", partition_key=text("user_id"), removal_policy=RemovalPolicy.DESTROY
        )
        allowed = self.node.try_get_context("allowed-domains") or _ALLOWED_DOMAINS
        code = pattern_source("identity", "cognito_triggers")

        def trigger(handler: str, **environment: str) -> Trigger:
            options = FunctionOptions(environment=environment)
            return Trigger(code=code, handler=f"cognito_triggers.{handler}", function_options=options)

        triggers = CognitoTriggers(
            self,
            "Users",
            pre_sign_up=trigger("sign_up.handler", ALLOWED_DOMAINS=allowed),
            post_confirmation=trigger("handler.post_confirmation", TABLE_NAME=table.table_name),
            post_authentication=trigger("handler.post_authentication", TABLE_NAME=table.table_name),
            pre_token_generation=trigger("handler.pre_token_generation", TABLE_NAME=table.table_name),
            removal_policy=RemovalPolicy.DESTROY,
        )
        table.grant(triggers.functions["post_confirmation"], "dynamodb:PutItem")
        table.grant(triggers.functions["post_authentication"], "dynamodb:UpdateItem")
        table.grant(triggers.functions["pre_token_generation"], "dynamodb:GetItem")
        client = triggers.user_pool.add_client(
            "Client",
            auth_flows=cognito.AuthFlow(admin_user_password=True),
            disable_o_auth=True,  # otherwise the CDK allows the implicit grant
            prevent_user_existence_errors=True,
        )
        self.output("UserPoolId", triggers.user_pool.user_pool_id)
        self.output("Issuer", triggers.user_pool.user_pool_provider_url)
        self.output("ClientId", client.user_pool_client_id)
        self.output("TableName", table.table_name)
        for name, function in triggers.functions.items():
            self.output(f"{name.title().replace('_', '')}FunctionName", function.function_name)
