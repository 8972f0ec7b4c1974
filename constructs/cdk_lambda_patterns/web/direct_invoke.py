"""Caller (SDK or CLI: this account, another one, the organization) → Invoke → alias or function.

Use it where a program needs the answer of a function at once, or hands over an event itself, and no HTTP is
needed. Do not use it between functions that wait for each other: both are paid for. For callers outside AWS
without credentials, use an HTTP API or a function URL.
"""

import hashlib
import json
import re
from typing import Any, Final

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.aliases import (
    ALIAS_PLACE,
    check_alias_name,
    check_no_latest,
    claim_alias,
    copy_async_configuration,
    is_alias,
    is_version,
    publish,
)
from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.callers import check_account, check_organization, check_pattern
from cdk_lambda_patterns.core.regions import check_region

_ACTION: Final = "lambda:InvokeFunction"
_ACCOUNT = re.compile(r"[0-9]{12}")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")


@check_types
class DirectInvoke(Construct):
    """Lets callers invoke a function: exactly those that are named, each with the policy that it needs.

    A caller in the function's account needs an identity policy OR a statement in the function's policy. A
    caller in another account needs both: the statement that these methods add, and an identity policy that
    the other account gives it. A statement for an account or an organization therefore delegates: which of
    its users and roles may call is decided there.

    Args:
        function: What is invoked: a function, an alias or a version; owned, from another stack, or imported.
        alias_name: Publish a version of ``function`` with each deployment, and let callers invoke it through
            an alias of this name, which has the function's settings for asynchronous invocations. Only for a
            function that this app makes. Default: callers invoke ``function`` itself.

    Raises:
        ValueError: The name of the alias is not allowed, another construct makes it, or ``function`` cannot
            have one.

    Attributes:
        target (IFunction): What callers invoke: the alias, or ``function``. Give them its ``function_arn``.

    Example::

        function = HardenedFunction(self, "Function", code="worker")
        shop = HardenedFunction(self, "Shop", code="worker")
        charges = DirectInvoke(self, "Charges", function=function, alias_name="live")
        charges.grant_invoke(shop)
        charges.grant_invoke_to_account("111122223333")

    https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
    """

    def __init__(
        self, scope: Construct, id: str, *, function: lambda_.IFunction, alias_name: str | None = None
    ) -> None:
        check_no_latest(function)
        super().__init__(scope, id)
        self.target: lambda_.IFunction = function
        if alias_name is not None:
            check_alias_name(f"alias_name={alias_name!r}", alias_name)
            self.target = self._publish(function, alias_name)

    def grant_invoke(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a role, a user or a function to invoke the target.

        One of this account gets an identity policy, which is enough unless the target is in another account.
        One of another account (``iam.ArnPrincipal``) gets a statement in the target's policy, and needs an
        identity policy of its own as well.

        Raises:
            ValueError: The grantee is everybody, or a service, or the target's policy cannot be changed here.
        """
        principal = grantee.grant_principal
        fragment = principal.policy_fragment
        if "Service" in fragment.principal_json:
            raise ValueError(
                f"grantee={fragment.principal_json['Service']}: a service also calls for resources of other "
                "accounts; use grant_invoke_to_service, which takes the resource that it may call for."
            )
        named = [one for names in fragment.principal_json.values() for one in names]
        if "*" in named and not fragment.conditions:
            raise ValueError(
                "grantee='*': every AWS account could invoke the function; name a principal, or use "
                "grant_invoke_to_account or grant_invoke_to_organization."
            )
        try:
            return self.target.grant_invoke(grantee)
        except RuntimeError as error:
            if "Cannot modify permission" not in str(error):
                raise
            if isinstance(principal, iam.PrincipalBase):  # it has no identity policy, so it needs a statement
                raise self._not_ours() from None
            return iam.Grant.add_to_principal(
                grantee=grantee,
                actions=[_ACTION],
                resource_arns=self.target.resource_arns_for_grant_invoke,
                scope=self,
            )

    def grant_invoke_to_account(self, account: str, *, organization_id: str | None = None) -> None:
        """Allow another account to invoke the target, and to decide which of its users and roles may.

        Args:
            account: The account's id.
            organization_id: The account loses the permission when it leaves this organization.

        Raises:
            ValueError: An id is malformed, or the target's policy cannot be changed here.
        """
        check_account("account", account)
        if organization_id is not None:
            check_organization("organization_id", organization_id)
        self._add_permission(
            self._id("Account", account),
            principal=iam.AccountPrincipal(account),
            organization_id=organization_id,
        )

    def grant_invoke_to_organization(self, organization_id: str) -> None:
        """Allow every account of an organization to invoke the target (``aws:PrincipalOrgID``).

        Args:
            organization_id: The id of the organization, not of a part of it.

        Raises:
            ValueError: The id is malformed, or the target's policy cannot be changed here.
        """
        check_organization("organization_id", organization_id)
        self._add_permission(
            self._id("Organization", organization_id),
            principal=iam.OrganizationPrincipal(organization_id),
        )

    def grant_invoke_to_service(
        self, service: str, *, source_arn: str | None = None, source_account: str | None = None
    ) -> None:
        """Allow a service to invoke the target for one resource, or for the resources of one account.

        Without either, the service would do so for a resource of any account (the confused deputy problem:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html).

        Args:
            service: The service's principal: ``"s3.amazonaws.com"``.
            source_arn: The ARN of the resource, which may have wildcards.
            source_account: The id of the account that owns the resource.

        Raises:
            ValueError: An argument is malformed or missing, or the target's policy cannot be changed here.
        """
        check_pattern("service", service, _SERVICE, "a service principal, such as 's3.amazonaws.com'")
        if source_account is not None:
            check_account("source_account", source_account)
        if source_arn is None and source_account is None:
            raise ValueError(
                f"service={service!r}: without source_arn or source_account it could invoke the function for "
                "a resource of any account; give at least one of them."
            )
        if source_account is None and source_arn is not None:
            _check_names_an_account(service, source_arn)
        self._add_permission(
            self._id("Service", service, source_arn, source_account),
            principal=iam.ServicePrincipal(service),
            source_arn=source_arn,
            source_account=source_account,
        )

    def _publish(self, function: lambda_.IFunction, name: str) -> lambda_.Alias:
        if not isinstance(function, lambda_.Function) or is_alias(function) or is_version(function):
            raise ValueError(
                f"alias_name={name!r}: {function.node.path} is imported, an alias or a version, and this app "
                "publishes no versions of it; leave alias_name out."
            )
        check_region(self, ALIAS_PLACE, {"function": function}, in_account=True)
        claim_alias(self, function, name)
        alias = lambda_.Alias(self, "Alias", alias_name=name, version=publish(function))
        copy_async_configuration(function, alias)
        return alias

    def _id(self, kind: str, *values: str | None) -> str:
        """An id for a caller; that of a token would be another one each time."""
        resolved = json.dumps(Stack.of(self).resolve(list(values)))
        return f"{kind} {hashlib.sha256(resolved.encode()).hexdigest()[:8]}"

    def _add_permission(self, id: str, **permission: Any) -> None:
        if self.node.try_find_child(id) is not None:  # it has been granted
            return
        self.target.add_permission(id, action=_ACTION, scope=self, **permission)
        if self.node.try_find_child(id) is None:  # of an imported function the CDK changes nothing
            raise self._not_ours()
        check_region(
            self,
            "Its policy is changed in its own account and Region",
            {"function": self.target},
            in_account=True,
        )

    def _not_ours(self) -> ValueError:
        return ValueError(
            f"function={self.target.node.path}: the policy of an imported function cannot be changed here; "
            "its owner must add the permission. If the function is in the account and Region of the stack, "
            "import it with from_function_attributes(..., same_environment=True)."
        )


def _check_names_an_account(service: str, source_arn: str) -> None:
    """Reject an ARN without an account, such as every bucket's."""
    parts = source_arn.split(":")
    known = not Token.is_unresolved(source_arn)
    if service.startswith("s3.") or (known and (len(parts) < 6 or not _ACCOUNT.fullmatch(parts[4]))):
        raise ValueError(
            f"source_arn={source_arn!r}: it names no account, and another account could own a resource "
            "of that name later; give source_account as well."
        )
