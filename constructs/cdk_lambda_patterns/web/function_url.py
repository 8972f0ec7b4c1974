"""HTTPS client → function URL (AWS_IAM or NONE) → alias or function.

Use it for a single function that needs an HTTPS address and no more: a webhook, a service for signed callers,
an origin of CloudFront, or answers that take longer than the 29 seconds of an API. It is reached from the
internet only: there is no VPC endpoint for it, and no custom domain, WAF, cache or request validation without
CloudFront. For those, for JWT and for throttling by route, use an API of API Gateway.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import jsii
from aws_cdk import Annotations, Duration, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IValidation

from cdk_lambda_patterns.core.aliases import (
    check_alias_name,
    check_no_latest,
    claim_alias,
    is_alias,
    is_version,
    publish,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.callers import check_account, check_organization, only_from
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import grant_to_identity
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.sharing import claim, identity
from cdk_lambda_patterns.web.cors import check_headers, check_origins

_NONE, _AWS_IAM = lambda_.FunctionUrlAuthType.NONE, lambda_.FunctionUrlAuthType.AWS_IAM
# Each action with its condition. Both are needed: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
_URL, _FUNCTION = "lambda:InvokeFunctionUrl", "lambda:InvokeFunction"
_VIA_URL: Final = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
# https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html
_ITEMS, _MAX_AGE = Limit("Lambda", 0, 100, "items"), Limit("Lambda", 0, 86_400, "seconds")
_METHODS = Limit("Lambda", 0, 6, "items")
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
_PLACE = "Lambda makes a URL in the account and Region of its function"
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
_STREAMING = ("nodejs", "provided")


@check_types
class FunctionUrl(Construct):
    """An HTTPS address of a function, for signed callers or for everybody.

    The throttle is the function's reserved concurrency (``FunctionOptions``): requests above it, or more than
    ten per second for each reserved execution, get status 429. Zero turns the URL off.

    Args:
        function: What the URL invokes: a function (``$LATEST``) or an alias; owned, from another stack, or
            imported. A version cannot have a URL.
        auth_type: ``AWS_IAM``: requests are signed with Signature Version 4, and each caller needs a grant.
            ``NONE``: everybody on the internet can call; the function itself checks who does.
        alias_name: Publish a version of ``function`` with each deployment, and give the URL to an alias of
            this name. Only for a function that this app makes. Default: the URL invokes ``function`` itself.
        cors: Which web pages of other origins may call. Lambda answers their preflights itself, and its
            headers replace those of the function. Default: no headers for CORS but those of the function.
        invoke_mode: ``RESPONSE_STREAM`` sends the response (200 MB at most) while the function writes it.
            Among the managed runtimes only Node.js can do that. Default: ``BUFFERED``, 6 MB at most.
        source_cidrs: With ``NONE``, the addresses that may call, by a condition for ``aws:SourceIp``; needs
            ``alias_name``. For signed callers, see ``grant_invoke_url``. Default: all.

    Raises:
        ValueError: The function cannot have such a URL, or a value is not allowed.

    Attributes:
        function_url (FunctionUrl): The CDK's own construct.
        target (IFunction): What the URL invokes: the alias, or ``function``.
        url (str): The address, ``https://ID.lambda-url.REGION.on.aws/``.

    Example::

        function = HardenedFunction(
            self, "Function", code="worker", options=FunctionOptions(reserved_concurrent_executions=10)
        )
        jobs = HardenedFunction(self, "Jobs", code="worker")
        front = FunctionUrl(
            self, "Front", function=function, auth_type=lambda_.FunctionUrlAuthType.AWS_IAM, alias_name="live"
        )
        front.grant_invoke_url(jobs)

    https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        function: lambda_.IFunction,
        auth_type: lambda_.FunctionUrlAuthType,
        alias_name: str | None = None,
        cors: lambda_.FunctionUrlCorsOptions | None = None,
        invoke_mode: lambda_.InvokeMode | None = None,
        source_cidrs: Sequence[str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        _check_not_a_version(function)
        check_no_latest(function)
        check_region(self, _PLACE, {"function": function}, in_account=True)
        if source_cidrs is not None:
            _check_can_limit_addresses(source_cidrs, auth_type, alias_name)
        if cors is not None:
            _check_cors(cors)
        self.target: lambda_.IFunction = function
        if alias_name is not None:
            check_alias_name(f"alias_name={alias_name!r}", alias_name)
            self.target = self._publish(function, alias_name)
        other = self.target.node.try_find_child("FunctionUrl")  # the CDK's add_function_url() has made it
        if isinstance(other, lambda_.FunctionUrl):
            raise ValueError(
                f"function={self.target.node.path}: it has a URL from add_function_url() already, and Lambda "
                "allows one for $LATEST and for each alias; leave that out, or give alias_name another alias."
            )
        claim(
            self,
            "function URL",
            [identity(self.target, "function_arn")],
            f"function={self.target.node.path}: Lambda allows one URL for $LATEST and for each alias, and",
        )
        self.node.add_validation(_HasOneUrl(self.target))
        if invoke_mode is lambda_.InvokeMode.RESPONSE_STREAM:
            self._warn_if_not_streaming(function)
        self.function_url = lambda_.FunctionUrl(
            self, "Url", function=self.target, auth_type=auth_type, cors=cors, invoke_mode=invoke_mode
        )
        self.url: str = self.function_url.url
        if source_cidrs is not None:
            self._admit_only(source_cidrs)
        elif auth_type is _NONE and self.target.node.try_find_child("invoke-function-url") is None:
            raise self._not_ours()  # of an imported function the CDK changes nothing

    def grant_invoke_url(
        self, grantee: iam.IGrantable, *, source_cidrs: Sequence[str] | None = None
    ) -> iam.Grant:
        """Allow a role, a user or a function to call the URL, and not to invoke the function otherwise.

        One of this account gets an identity policy, which is enough. One of another account
        (``iam.ArnPrincipal``) gets statements in the resource-based policy, and needs an identity policy of
        its own as well.

        Args:
            grantee: The caller.
            source_cidrs: The addresses that it may call from, as the internet sees them: ``203.0.113.0/24``.
                Only for a caller with an identity policy in this app. Default: any.

        Raises:
            ValueError: The URL has the type ``NONE``, the caller is everybody or a service, or its addresses
                cannot be limited here.
        """
        self._check_signed()
        principal = grantee.grant_principal
        if "Service" in principal.policy_fragment.principal_json:
            raise ValueError(
                f"grantee={principal}: a service also calls for resources of other accounts; for CloudFront "
                "use FunctionUrlOrigin.with_origin_access_control, which names the distribution."
            )
        if "*" in [one for names in principal.policy_fragment.principal_json.values() for one in names]:
            raise ValueError(
                f"grantee={principal}: every AWS account could call the URL; name a principal, or use "
                "grant_invoke_url_to_account or grant_invoke_url_to_organization."
            )
        if source_cidrs is not None:
            return self._grant_in_identity_policy(grantee, only_from(source_cidrs))
        try:
            return self.function_url.grant_invoke_url(grantee)
        except RuntimeError as error:
            if "Cannot modify permission" not in str(error):
                raise
            if isinstance(principal, iam.PrincipalBase):  # it has no identity policy, so it needs statements
                raise self._not_ours() from None
            return self._grant_in_identity_policy(grantee, {})

    def _grant_in_identity_policy(self, grantee: iam.IGrantable, condition: dict[str, Any]) -> iam.Grant:
        signed = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
        url, function = (
            grant_to_identity(
                self,
                grantee,
                action,
                self.target.function_arn,
                on=self.target.node.path,
                conditions={**own, **condition},
                otherwise="grant it without source_cidrs, and add the condition aws:SourceIp to its own "
                "policy.",
            )
            for action, own in ((_URL, signed), (_FUNCTION, _VIA_URL))
        )
        return url.combine(function)

    def grant_invoke_url_to_account(self, account: str, *, organization_id: str | None = None) -> None:
        """Allow another account to call the URL, and to decide which of its users and roles may.

        Args:
            account: The account's id.
            organization_id: The account loses the permission when it leaves this organization.

        Raises:
            ValueError: An id is malformed, the URL has the type ``NONE``, or the function is imported.
        """
        check_account("account", account)
        if organization_id is not None:
            check_organization("organization_id", organization_id)
        self._permit("Account", account, iam.AccountPrincipal(account), organization_id)

    def grant_invoke_url_to_organization(self, organization_id: str) -> None:
        """Allow every account of an organization to call the URL (``aws:PrincipalOrgID``).

        In the function's own account this is enough for every user and role, also without an identity policy.

        Raises:
            ValueError: The id is malformed, the URL has the type ``NONE``, or the function is imported.
        """
        check_organization("organization_id", organization_id)
        self._permit("Organization", organization_id, iam.OrganizationPrincipal(organization_id))

    def _permit(
        self, kind: str, named: str, principal: iam.IPrincipal, organization_id: str | None = None
    ) -> None:
        self._check_signed()
        # The id of a token would be another one each time.
        name = kind + hashlib.sha256(str(Stack.of(self).resolve(named)).encode()).hexdigest()[:8]
        given: dict[str, Any] = {"principal": principal, "organization_id": organization_id, "scope": self}
        self.target.add_permission(name, action=_URL, function_url_auth_type=_AWS_IAM, **given)
        self.target.add_permission(f"{name}Via", action=_FUNCTION, invoked_via_function_url=True, **given)
        if self.node.try_find_child(name) is None:  # of an imported function the CDK changes nothing
            raise self._not_ours()

    def _publish(self, function: lambda_.IFunction, name: str) -> lambda_.Alias:
        if not isinstance(function, lambda_.Function) or is_alias(function):
            raise ValueError(
                f"alias_name={name!r}: {function.node.path} is imported or an alias, and this app publishes "
                "no versions of it; leave alias_name out."
            )
        claim_alias(self, function, name)
        return lambda_.Alias(self, "Alias", alias_name=name, version=publish(function))

    def _admit_only(self, source_cidrs: Sequence[str]) -> None:
        """Replace the CDK's two permissions: only a policy that is one document can have this condition.

        https://docs.aws.amazon.com/lambda/latest/api/API_PutResourcePolicy.html
        """
        condition = only_from(source_cidrs)
        for permission in ("invoke-function-url", "invoke-function"):
            self.target.node.try_remove_child(permission)
        everybody = {"Effect": "Allow", "Principal": "*", "Resource": self.target.function_arn}
        unsigned = {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
        statements = [
            {"Sid": sid, "Action": action, **everybody, "Condition": {**via, **condition}}
            for sid, action, via in (("Url", _URL, unsigned), ("Function", _FUNCTION, _VIA_URL))
        ]
        lambda_.CfnResourcePolicy(
            self,
            "Policy",
            resource_arn=self.target.function_arn,
            policy_document={"Version": "2012-10-17", "Statement": statements},
        )

    def _check_signed(self) -> None:
        if self.function_url.auth_type is _NONE:
            raise ValueError("auth_type=NONE: everybody may call the URL already; grant with AWS_IAM only.")

    def _warn_if_not_streaming(self, function: lambda_.IFunction) -> None:
        runtime = getattr(getattr(function, "lambda_", function), "runtime", None)
        if isinstance(runtime, lambda_.Runtime) and not runtime.name.startswith(_STREAMING):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:function-url-streaming",
                f"The runtime {runtime.name} writes its response at once, so RESPONSE_STREAM only changes "
                "how the result is read: it is no longer taken for statusCode, headers and body. Use Node.js "
                "or a custom runtime, or acknowledge this if a layer streams (the Lambda Web Adapter).",
            )

    def _not_ours(self) -> ValueError:
        return ValueError(
            f"function={self.target.node.path}: the policy of an imported function cannot be changed here, "
            "and without both permissions every request gets 403. If the function is in the account and "
            "Region of the stack, import it with from_function_attributes(..., same_environment=True)."
        )


@jsii.implements(IValidation)
class _HasOneUrl:
    """The app may call ``add_function_url`` of the CDK later."""

    def __init__(self, target: lambda_.IFunction) -> None:
        self._target = target

    def validate(self) -> list[str]:
        """Return an error if it did. The CDK calls this."""
        if not isinstance(self._target.node.try_find_child("FunctionUrl"), lambda_.FunctionUrl):
            return []
        return [
            f"{self._target.node.path} has a second URL, from add_function_url(), and Lambda allows one for "
            "$LATEST and for each alias; leave that out, or give alias_name another alias."
        ]


def _check_not_a_version(function: lambda_.IFunction) -> None:
    arn = function.function_arn
    qualifier = "" if Token.is_unresolved(arn) else "".join(arn.split(":")[7:])
    if is_version(function) or qualifier.isdigit():
        raise ValueError(
            f"function={function.node.path}: Lambda gives a URL to $LATEST and to aliases only, because the "
            "address must outlive a version; give an alias that points to it."
        )


def _check_can_limit_addresses(
    source_cidrs: Sequence[str], auth_type: lambda_.FunctionUrlAuthType, alias_name: str | None
) -> None:
    only_from(source_cidrs)
    if auth_type is not _NONE:
        raise ValueError(
            f"source_cidrs={list(source_cidrs)}: with AWS_IAM each caller has its own; give them to "
            "grant_invoke_url."
        )
    if alias_name is None:
        raise ValueError(
            f"source_cidrs={list(source_cidrs)}: the policy that limits addresses replaces every other "
            "permission of what it is for; give alias_name, so that it is for the URL's own alias only."
        )


def _check_cors(cors: lambda_.FunctionUrlCorsOptions) -> None:
    check_origins("cors.allowed_origins", cors.allowed_origins, cors.allow_credentials)
    methods = cors.allowed_methods or []
    for name, longest in (("allowed_origins", 253), ("allowed_headers", 1024), ("exposed_headers", 1024)):
        items = getattr(cors, name) or []
        _ITEMS.check(f"len(cors.{name})", len(items))
        for item in items:
            if len(item) > longest:
                raise ValueError(
                    f"cors.{name}: {item[:40]}… has {len(item)} characters; Lambda allows {longest}."
                )
    check_headers("cors.allowed_headers", cors.allowed_headers)
    check_headers("cors.exposed_headers", cors.exposed_headers)
    if lambda_.HttpMethod.OPTIONS in methods:
        raise ValueError(
            "cors.allowed_methods: Lambda refuses OPTIONS, whose requests it answers itself; leave it out."
        )
    _METHODS.check("len(cors.allowed_methods)", len(methods))
    if isinstance(cors.max_age, Duration):
        _MAX_AGE.check("cors.max_age", cors.max_age)
