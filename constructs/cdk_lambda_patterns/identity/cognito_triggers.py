"""Sign-up and sign-in → Cognito user pool → a Lambda for each trigger, which may refuse or add claims.

Use it for rules and data that belong to every sign-up and sign-in of a pool: who may sign up, a profile for
each user, claims in the tokens. Do not use it for what can wait or takes longer than five seconds: Cognito
waits for each trigger, and an error denies the user. Let the trigger send a message to a queue instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code, check_function, timeout_of
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
_TIMEOUT = Limit("Cognito", 1, 5, "seconds")

_OPERATIONS = {
    "pre_sign_up": cognito.UserPoolOperation.PRE_SIGN_UP,
    "post_confirmation": cognito.UserPoolOperation.POST_CONFIRMATION,
    "post_authentication": cognito.UserPoolOperation.POST_AUTHENTICATION,
    "pre_token_generation": cognito.UserPoolOperation.PRE_TOKEN_GENERATION_CONFIG,
}


@check_types
@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The function of a trigger: a new one, or one that exists.

    Args:
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
        function_options: Settings of a new function. Default: 256 MB, 5 seconds.
        network: The VPC that a new function runs in. Default: none of yours.

    Raises:
        ValueError: Both ``code`` and ``function`` are given, or neither; or the timeout of the function is
            longer than the five seconds that Cognito waits.

    Example::

        Trigger(code="worker")
    """

    code: Code | None = None
    handler: str = DEFAULT_HANDLER
    function: lambda_.IFunction | None = None
    function_options: FunctionOptions | None = None
    network: NetworkOptions | None = None

    def __post_init__(self) -> None:
        check_function(self.function, self.code, self.handler, self.function_options, self.network)
        if self.function is not None:
            _TIMEOUT.check("function.timeout", timeout_of(self.function))
        elif self.function_options is not None:
            _TIMEOUT.check("function_options.timeout", self.function_options.timeout)


@check_types
class CognitoTriggers(Construct):
    """A user pool with a function for each of its triggers.

    It builds the pool (unless you give one), the functions, and the permission of this pool to invoke them.
    Users of a new pool sign in with their email address, which they confirm with a code; passwords have at
    least 12 characters; an authenticator app is optional; the plan is Essentials. Cognito tries a trigger up
    to three times if it does not answer within five seconds, so a handler must be idempotent. It returns the
    event, with its answer in ``response``; the message of an error that it raises is shown to the user.

    Args:
        pre_sign_up: Accepts or refuses a new user, and may confirm them. Also for users whom an administrator
            creates, and for the first sign-in with an external provider.
        post_confirmation: Invoked once a user is confirmed, and after a forgotten password is replaced. If it
            fails, the user is confirmed all the same.
        post_authentication: Invoked at each sign-in, before the tokens are made; not when they are refreshed.
        pre_token_generation: Adds, changes and suppresses claims, also when tokens are refreshed.
        lambda_version: Version of the event of ``pre_token_generation``: V1_0 changes only ID tokens; V2_0
            (default) access tokens too; V3_0 those of machines as well. V2_0 and V3_0 need the plan
            Essentials or Plus.
        user_pool: Owned, or from another stack of the app. Default: a new one. Not imported: a pool's
            triggers are part of the pool itself.
        removal_policy: What happens to the new pool and the logs when the stack is deleted. Default: they are
            retained, and the pool is protected against deletion.

    Raises:
        ValueError: There is no trigger, the pool is imported or its plan does not allow the version, or a
            value is not allowed.

    Attributes:
        user_pool (UserPool): The pool. ``add_client`` makes its app clients, ``add_trigger`` its other
            triggers.
        functions (Mapping[str, IFunction]): The functions, by the name of the argument.

    Example::

        triggers = CognitoTriggers(
            self, "Users",
            post_confirmation=Trigger(code="worker"),
            pre_token_generation=Trigger(code="worker"),
        )
        table.grant_write_data(triggers.functions["post_confirmation"])

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        pre_sign_up: Trigger | None = None,
        post_confirmation: Trigger | None = None,
        post_authentication: Trigger | None = None,
        pre_token_generation: Trigger | None = None,
        lambda_version: cognito.LambdaVersion = cognito.LambdaVersion.V2_0,
        user_pool: Annotated[cognito.UserPool | None, "an imported pool gets a reason of its own"] = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        triggers = {
            "pre_sign_up": pre_sign_up,
            "post_confirmation": post_confirmation,
            "post_authentication": post_authentication,
            "pre_token_generation": pre_token_generation,
        }
        given = {name: trigger for name, trigger in triggers.items() if trigger is not None}
        if not given:
            raise ValueError(f"no trigger: give at least one of {', '.join(triggers)}.")
        if user_pool is not None:
            _check_user_pool(user_pool, lambda_version if pre_token_generation else None)
        theirs = {name: trigger.function for name, trigger in given.items()}
        check_region(
            scope, "A user pool invokes functions of its own Region only", {"user_pool": user_pool, **theirs}
        )
        super().__init__(scope, id)
        self.user_pool = user_pool or _make_user_pool(self, removal_policy)
        functions = {name: _function(self, name, trigger, removal_policy) for name, trigger in given.items()}
        for name, function in functions.items():
            version = lambda_version if name == "pre_token_generation" else None
            self.user_pool.add_trigger(_OPERATIONS[name], function, version)
        self.functions: Mapping[str, lambda_.IFunction] = MappingProxyType(functions)


def _make_user_pool(scope: Construct, removal_policy: RemovalPolicy) -> cognito.UserPool:
    pool = cognito.UserPool(
        scope,
        "UserPool",
        feature_plan=cognito.FeaturePlan.ESSENTIALS,
        self_sign_up_enabled=True,
        sign_in_aliases=cognito.SignInAliases(email=True),
        sign_in_case_sensitive=False,
        password_policy=cognito.PasswordPolicy(
            min_length=12,
            require_digits=True,
            require_lowercase=True,
            require_symbols=True,
            require_uppercase=True,
        ),
        mfa=cognito.Mfa.OPTIONAL,
        mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
        account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
        deletion_protection=removal_policy != RemovalPolicy.DESTROY,
        removal_policy=removal_policy,
    )
    acknowledge(
        pool,
        {
            "AwsSolutions-COG2": "Each user chooses whether to use an authenticator app.",
            "AwsSolutions-COG8": "Threat protection needs the plan Plus, which costs more per user.",
        },
    )
    return pool


def _function(
    scope: Construct, name: str, trigger: Trigger, removal_policy: RemovalPolicy
) -> lambda_.IFunction:
    if trigger.function is not None:
        if timeout_of(trigger.function) is None:
            Annotations.of(scope).add_warning_v2(
                f"cdk-lambda-patterns:triggerTimeout:{name}",
                f"{name}: the function is imported, so its timeout is unknown here. Cognito waits 5 seconds, "
                "and tries up to three times; make sure that the function's timeout is not longer.",
            )
        return trigger.function
    assert trigger.code is not None  # a Trigger has either
    options = trigger.function_options or FunctionOptions()
    return HardenedFunction(
        scope,
        name.title().replace("_", ""),
        code=trigger.code,
        handler=trigger.handler,
        options=options.with_defaults(memory_size=256, timeout=Duration.seconds(_TIMEOUT.high)),
        network=trigger.network,
        removal_policy=removal_policy,
    )


def _check_user_pool(user_pool: object, version: cognito.LambdaVersion | None) -> None:
    """Check that a pool can get triggers here, and that its plan allows the version of the token's event."""
    if not isinstance(user_pool, cognito.UserPool):
        raise ValueError(
            f"user_pool=<{type(user_pool).__name__}>: only a UserPool that the app makes can get triggers, "
            "because they are part of the pool's own template; make CognitoTriggers in the app that makes "
            "the pool, and give the UserPool itself."
        )
    resource = user_pool.node.default_child
    tier = resource.user_pool_tier if isinstance(resource, cognito.CfnUserPool) else None
    if tier == "LITE" and version in (cognito.LambdaVersion.V2_0, cognito.LambdaVersion.V3_0):
        raise ValueError(
            f"lambda_version={version.name}: the user pool has the plan Lite, which allows only V1_0; give "
            "lambda_version=LambdaVersion.V1_0, or the pool feature_plan=FeaturePlan.ESSENTIALS."
        )
