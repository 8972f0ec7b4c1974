"""ScratchSpaceFunction: the sizes, the buckets, the key, and what the role may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Size, Stack, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.delivery.scratch_space import ScratchSpaceFunction
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/mine"


def make(stack: Stack, id: str = "Reports", **more: Any) -> ScratchSpaceFunction:
    files = more.pop("source_bucket", None) or s3.Bucket.from_bucket_name(stack, f"{id}Files", "files")
    return ScratchSpaceFunction(stack, id, code=CODE, handler="index.handler", source_bucket=files, **more)


@stack_with
def owned(stack: Stack) -> None:
    make(stack, function_options=FunctionOptions(ephemeral_storage_size=Size.gibibytes(10)))


@stack_with
def imported(stack: Stack) -> None:
    make(
        stack,
        checkpoint_bucket=s3.Bucket.from_bucket_name(stack, "Checkpoints", "checkpoints"),
        encryption_key=kms.Key.from_key_arn(stack, "Key", KEY),
        cache_size=Size.mebibytes(100),
    )


@stack_with
def encrypted(stack: Stack) -> None:
    files = s3.Bucket(stack, "Files", versioned=True, encryption_key=kms.Key(stack, "FilesKey"))
    work = s3.Bucket(stack, "Work", encryption_key=kms.Key(stack, "WorkKey"))
    make(stack, source_bucket=files, checkpoint_bucket=work)


def test_tmp_has_its_size_and_the_cache_half_of_it(owned: Resources) -> None:
    function = owned.only("AWS::Lambda::Function", Handler="index.handler")
    assert function["EphemeralStorage"] == {"Size": 10_240}
    assert function["Environment"]["Variables"]["CACHE_MAX_BYTES"] == str(5 << 30)
    assert (function["MemorySize"], function["Timeout"]) == (512, 900)


def test_the_new_bucket_expires_checkpoints_only_and_the_new_key_rotates(owned: Resources) -> None:
    rules = owned.only("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert rules == [{"ExpirationInDays": 30, "Prefix": "checkpoints/", "Status": "Enabled"}]
    assert owned.only("AWS::KMS::Key")["EnableKeyRotation"] is True
    kept = [
        name
        for name, one in owned.template["Resources"].items()
        if one["Type"] in ("AWS::S3::Bucket", "AWS::KMS::Key") and one["DeletionPolicy"] == "Retain"
    ]
    assert len(kept) == 2


def test_imported_resources_are_used_and_none_is_made(imported: Resources) -> None:
    assert not imported.all("AWS::S3::Bucket")
    assert not imported.all("AWS::KMS::Key")
    variables = imported.only("AWS::Lambda::Function")["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if name != "ENCRYPTION_CONTEXT"} == {
        "CACHE_MAX_BYTES": str(100 << 20),
        "CHECKPOINT_BUCKET": "checkpoints",
        "KEY_ARN": KEY,
        "SOURCE_BUCKET": "files",
    }


def test_the_role_may_use_data_keys_in_its_own_encryption_context_only(imported: Resources) -> None:
    (statement,) = [one for one in imported.statements("ReportsFunction") if "kms:Decrypt" in one["Action"]]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == KEY
    context = json.loads(
        imported.only("AWS::Lambda::Function")["Environment"]["Variables"]["ENCRYPTION_CONTEXT"]
    )
    assert context == {"scratch-space": "checkpoints"}  # the bucket, so that the app may change its names
    assert statement["Condition"] == {
        "StringEquals": {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
    }


def test_the_role_reads_files_and_writes_checkpoints_only(imported: Resources) -> None:
    granted = {
        json.dumps(one["Resource"]).partition(":s3:::")[2]: one["Action"]
        for one in imported.statements("ReportsFunction")
        if "s3:" in str(one["Action"])
    }
    assert granted == {
        'files/*"]]}': ["s3:GetObject", "s3:GetObjectVersion"],
        'checkpoints"]]}': "s3:ListBucket",
        'checkpoints/checkpoints/*"]]}': ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
    }


def test_the_function_invokes_itself_only(imported: Resources) -> None:
    (function,) = imported.all("AWS::Lambda::Function")
    (statement,) = [
        one for one in imported.statements("ReportsFunction") if one["Action"] == "lambda:InvokeFunction"
    ]
    arn = {"Fn::GetAtt": [function, "Arn"]}
    assert statement["Resource"] == [arn, {"Fn::Join": ["", [arn, ":*"]]}]


def test_the_keys_of_the_buckets_are_granted(encrypted: Resources) -> None:
    for key, actions in (("FilesKey", "kms:Decrypt"), ("WorkKey", ["kms:Decrypt", "kms:GenerateDataKey"])):
        assert any(
            one["Action"] == actions and key in str(one["Resource"])
            for one in encrypted.statements("ReportsFunction")
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            lambda s: {"source_bucket": s3.Bucket(s, "R")},
            "source_bucket=Stack/R: it has no versioning, .* versioned=True",
        ),
        (
            lambda _: {"cache_size": Size.gibibytes(1)},
            "cache_size=.*: the function's /tmp has .*512.*raise ephemeral_storage_size, up to 10,240 MB",
        ),
        (lambda _: {"cache_size": Size.bytes(0)}, r"cache_size=.*: the cache must hold a file; give more\."),
        (
            lambda s: {"encryption_key": kms.Alias.from_alias_name(s, "Alias", "alias/mine")},
            "encryption_key=Stack/Alias: it is an alias, .*from_key_arn",
        ),
        (
            lambda _: {
                "function_options": FunctionOptions(
                    ephemeral_storage_size=Size.mebibytes(Token.as_number({"Ref": "Size"}))
                )
            },
            "cache_size: the size of /tmp is known only when the stack is deployed; give a cache_size",
        ),
        (
            lambda _: {"cache_size": Size.mebibytes(Token.as_number({"Ref": "Size"}))},
            "cache_size: its value is known only",
        ),
        (
            lambda _: {"function_options": FunctionOptions(environment={"KEY_ARN": "mine"})},
            "environment variable KEY_ARN: the construct sets it itself",
        ),
        (
            lambda _: {"function_options": FunctionOptions(ephemeral_storage_size=Size.mebibytes(511))},
            "ephemeral_storage_size=511: Lambda allows 512 to 10,240 MB",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments: Callable[[Stack], dict[str, Any]], message: str) -> None:
    stack = Stack(App(), "Stack")
    with pytest.raises(ValueError, match=message):
        make(stack, **arguments(stack))


def test_a_size_known_at_deployment_works_with_a_cache_size() -> None:
    options = FunctionOptions(ephemeral_storage_size=Size.mebibytes(Token.as_number({"Ref": "Size"})))
    make(Stack(App(), "Stack"), function_options=options, cache_size=Size.gibibytes(9))
