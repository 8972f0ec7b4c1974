"""Permissions of requests that name a key by its alias, and on aliases themselves."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

DENIED = "AccessDeniedException"


@pytest.fixture
def named(local_aws: LocalAws) -> SimpleNamespace:
    """Two keys, the first with two aliases."""
    return make(local_aws)


def make(aws: LocalAws) -> SimpleNamespace:
    kms, suffix = aws.client("kms"), uuid.uuid4().hex[:8]
    key, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    one, two = (f"alias/{name}-{suffix}" for name in ("one", "two"))
    for alias in (one, two):
        kms.create_alias(AliasName=alias, TargetKeyId=key)
    place = key.partition(":key/")[0]
    return SimpleNamespace(key=key, other=other, one=one, two=two, arn=f"{place}:{one}", place=place)


def code(call: Callable[..., Any], **given: Any) -> str:
    try:
        call(**given)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "allowed"


def data_key(kms: Any, key: str) -> str:
    return code(kms.generate_data_key, KeyId=key, KeySpec="AES_256")


def test_the_permission_is_that_on_the_key(local_aws: LocalAws, named: SimpleNamespace) -> None:
    ways = (named.one, named.arn, named.key)
    on_key = session_of(local_aws, ("kms:GenerateDataKey", named.key)).client("kms")
    assert [data_key(on_key, way) for way in ways] == ["allowed"] * 3
    on_alias = session_of(local_aws, ("kms:GenerateDataKey", named.arn)).client("kms")
    assert [data_key(on_alias, way) for way in ways] == [DENIED] * 3


def test_conditions_on_the_alias_of_the_request_and_on_those_of_the_key(
    local_aws: LocalAws, named: SimpleNamespace
) -> None:
    requested = {"StringEquals": {"kms:RequestAlias": named.one}}
    kms = session_of(local_aws, ("kms:GenerateDataKey", "*"), condition=requested).client("kms")
    found = [data_key(kms, way) for way in (named.one, named.arn, named.two, named.key)]
    assert found == ["allowed", "allowed", DENIED, DENIED]
    one_of = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": named.two}}
    kms = session_of(local_aws, ("kms:GenerateDataKey", "*"), condition=one_of).client("kms")
    found = [data_key(kms, way) for way in (named.one, named.key, named.other)]
    assert found == ["allowed", "allowed", DENIED]


def test_managing_an_alias_takes_permission_on_it_and_on_each_of_its_keys(
    local_aws: LocalAws, named: SimpleNamespace
) -> None:
    new = f"{named.one}-new"
    ways: dict[str, tuple[dict[str, str], set[str]]] = {
        "create_alias": ({"AliasName": new, "TargetKeyId": named.key}, {named.key, f"{named.place}:{new}"}),
        "update_alias": (
            {"AliasName": named.one, "TargetKeyId": named.other},
            {named.key, named.other, named.arn},
        ),
        "delete_alias": ({"AliasName": named.one}, {named.other, named.arn}),
    }
    for operation, (given, needed) in ways.items():
        action = "kms:" + operation.title().replace("_", "")
        for missing in (*sorted(needed), None):
            allowed = [(action, arn) for arn in sorted(needed - {missing})]
            kms = session_of(local_aws, *allowed).client("kms")
            expected = DENIED if missing else "allowed"
            assert code(getattr(kms, operation), **given) == expected, (operation, missing)


def test_still_needed_the_emulator_asks_for_permission_on_the_alias(stock_aws: LocalAws) -> None:
    named = make(stock_aws)
    kms = session_of(stock_aws, ("kms:GenerateDataKey", named.arn)).client("kms")
    assert data_key(kms, named.one) == "allowed"
