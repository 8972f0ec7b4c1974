"""Organizations: which accounts belong to one, for `aws:PrincipalOrgID`, and the role to enter an account.

In the emulator every account has an organisation of its own, to which only itself belongs, and
`CreateOrganization` is missing.

Faithful to: `CreateOrganization`; an account that `CreateAccount` made belongs to the organisation that made
it, and has a role that the management account may assume (`OrganizationAccountAccessRole` unless the request
names another one).
Not to: service control policies; invitations; the time that creating an account takes.

https://docs.aws.amazon.com/organizations/latest/APIReference/API_CreateAccount.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgid
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.services import iam, organizations

from localaws.patching import Properties, around, changes

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@around(iam_evaluator, "_principal_org_id")
def _principal_org_id(stock: Callable[[str], str | None], account_id: str) -> str | None:
    for (management, member), _account in list(organizations._accounts._data.items()):
        if member == account_id and management != account_id:
            return stock(management)
    return stock(account_id)


@changes(organizations, "_DISPATCH")
def _operations(stock: dict[str, Any]) -> dict[str, Any]:
    create_account = stock["CreateAccount"]

    def create(request: Properties) -> Any:
        status, headers, body = create_account(request)
        if status == 200:
            account = json.loads(body)["CreateAccountStatus"]["AccountId"]
            _make_role(account, request.get("RoleName") or "OrganizationAccountAccessRole", get_account_id())
        return status, headers, body

    return stock | {"CreateOrganization": _create_organization, "CreateAccount": create}


def _create_organization(_request: Properties) -> Any:
    if organizations._orgs.get("self"):
        message = "The AWS account is already a member of an organization."
        return error_response_json("AlreadyInOrganizationException", message, 400)
    organizations._ensure_org()
    return organizations._json(200, {"Organization": organizations._orgs["self"]})


def _make_role(account: str, name: str, management: str) -> None:
    principal = {"AWS": f"arn:aws:iam::{management}:root"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    with request_scope(account, get_region()):
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam._create_role({"RoleName": [name], "AssumeRolePolicyDocument": [document]})
        policy = {"PolicyName": ["AdministratorAccess"], "PolicyDocument": [json.dumps(_EVERYTHING)]}
        iam._put_role_policy({"RoleName": [name], **policy})
