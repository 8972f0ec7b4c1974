"""The user pool of a demonstration whose users sign in to an API."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from cdk_lambda_patterns.core.permissions import acknowledge


def make_user_pool(scope: Construct) -> cognito.UserPool:
    """Make a pool whose users only an administrator creates, and that is deleted with the stack."""
    pool = cognito.UserPool(
        scope,
        "Users",
        feature_plan=cognito.FeaturePlan.ESSENTIALS,
        self_sign_up_enabled=False,
        password_policy=cognito.PasswordPolicy(
            min_length=12,
            require_digits=True,
            require_lowercase=True,
            require_symbols=True,
            require_uppercase=True,
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )
    acknowledge(
        pool,
        {
            "AwsSolutions-COG2": "The users of a demonstration exist for seconds.",
            "AwsSolutions-COG8": "Threat protection needs the plan Plus, which costs more per user.",
        },
    )
    return pool
