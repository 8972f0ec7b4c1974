"""The construct of `cloudfront-functions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, RemovalPolicy, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.edge.cloudfront_functions import CloudFrontFunctions

PLAIN = "function handler(event) { return event.request; }"
READING = f"import cf from 'cloudfront';\nconst store = cf.kvs();\nasync {PLAIN}"

MINIFIED = f'import c from"crypto";import t from"cloudfront";const s=t.kvs();async {PLAIN}'
TOO_MANY = {f"{number:04}": "x" * 1024 for number in range(5101)}  # one more than 5 MB has room for


def code(text: str) -> cloudfront.FunctionCode:
    """The code of a function."""
    return cloudfront.FunctionCode.from_inline(text)


def stack() -> Stack:
    """An empty stack."""
    return Stack(App(builtin_cloud_formation_validation=False), "Stack")


def test_only_the_function_that_reads_is_associated_with_the_store() -> None:
    made = stack()
    functions = CloudFrontFunctions(
        made, "Edge", viewer_request=code(READING), viewer_response=code(PLAIN), initial_items={"/a": "/b"}
    )
    events = [association.event_type for association in functions.associations]
    assert events == [
        cloudfront.FunctionEventType.VIEWER_REQUEST,
        cloudfront.FunctionEventType.VIEWER_RESPONSE,
    ]
    found = Template.from_stack(made).find_resources("AWS::CloudFront::Function").values()
    configs = [one["Properties"]["FunctionConfig"] for one in found]
    assert [config["Runtime"] for config in configs] == ["cloudfront-js-2.0"] * 2
    assert ["KeyValueStoreAssociations" in config for config in configs] == [True, False]


@pytest.mark.parametrize("items", [{}, {"/a": "/b"}])
@pytest.mark.parametrize("policy", [None, RemovalPolicy.DESTROY])
def test_a_new_store_is_retained_unless_it_should_not_be(
    items: Mapping[str, str], policy: RemovalPolicy | None
) -> None:
    made = stack()
    given: dict[str, Any] = {} if policy is None else {"removal_policy": policy}
    CloudFrontFunctions(made, "Edge", viewer_request=code(READING), initial_items=items, **given)
    ((_, store),) = Template.from_stack(made).find_resources("AWS::CloudFront::KeyValueStore").items()
    assert store["DeletionPolicy"] == ("Retain" if policy is None else "Delete")
    assert ("ImportSource" in store["Properties"]) is bool(items)


def test_minified_code_reads_the_store_too() -> None:
    made = stack()
    CloudFrontFunctions(made, "Edge", viewer_request=code(MINIFIED), initial_items={})
    (found,) = Template.from_stack(made).find_resources("AWS::CloudFront::Function").values()
    assert "KeyValueStoreAssociations" in found["Properties"]["FunctionConfig"]


def test_functions_without_a_store() -> None:
    made = stack()
    functions = CloudFrontFunctions(made, "Edge", viewer_response=code(PLAIN))
    assert (functions.viewer_request, functions.key_value_store) == (None, None)
    Template.from_stack(made).resource_count_is("AWS::CloudFront::KeyValueStore", 0)
    with pytest.raises(ValueError, match="has no key value store"):
        functions.grant_read_write(iam.Role(made, "Role", assumed_by=iam.AccountRootPrincipal()))


def test_the_grant_is_for_this_store_only() -> None:
    made = stack()
    functions = CloudFrontFunctions(made, "Edge", viewer_request=code(READING), initial_items={})
    functions.grant_read_write(iam.Role(made, "Role", assumed_by=iam.AccountRootPrincipal()))
    ((_, policy),) = Template.from_stack(made).find_resources("AWS::IAM::Policy").items()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert len(statement["Action"]) == 6
    assert "GetAtt" in str(statement["Resource"])


@pytest.mark.parametrize("size", [10_240, 10_241])
def test_the_code_has_10_kb(size: int) -> None:
    text = PLAIN + "/" * 2 + "ä" * ((size - len(PLAIN) - 2) // 2)
    text += "x" * (size - len(text.encode()))
    if size == 10_240:
        CloudFrontFunctions(stack(), "Edge", viewer_request=code(text))
    else:
        with pytest.raises(ValueError, match=r"10,241: CloudFront Functions allows 1 to 10,240 bytes"):
            CloudFrontFunctions(stack(), "Edge", viewer_request=code(text))


def doubts(text: str) -> list[str]:
    """The warnings about a function with this code."""
    made = stack()
    CloudFrontFunctions(made, "Edge", viewer_request=code(text))
    found = Annotations.from_stack(made).find_warning("*", Match.string_like_regexp("cloudFrontFunction"))
    return [str(one.entry.data) for one in found]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"import fs from 'fs';\n{PLAIN}", "imports fs"),
        (f"import {{ request }} from 'https';\n{PLAIN}", "imports https"),
        (f"const http = require('http');\n{PLAIN}", "imports http"),
        (f"{PLAIN} async function f() {{ await import('fs'); }}", "imports fs"),
        (f"{PLAIN} function f() {{ return fetch('https://example.com'); }}", "calls fetch"),
        (f"{PLAIN} function f() {{ setTimeout(f, 1); }}", "calls setTimeout"),
        (f"{PLAIN} function f() {{ eval('1'); }}", "calls eval"),
        (f'import c from"crypto";import t from"fs";{PLAIN}', "imports fs"),
        (f'import*as f from"fs";{PLAIN}', "imports fs"),
        (f"import 'fs'; {PLAIN}", "imports fs"),
        (f"export {PLAIN}", "exports something"),
        (MINIFIED, "reads a key value store"),
        (READING, "reads a key value store"),
    ],
)
def test_what_the_runtime_seems_to_lack_is_a_warning(text: str, wrong: str) -> None:
    (found,) = doubts(text)
    assert wrong in found


@pytest.mark.parametrize("text", ["function other() {}", "const x = 1;"])
def test_code_without_a_handler_is_refused(text: str) -> None:
    for name in ("viewer_request", "viewer_response"):
        with pytest.raises(ValueError, match=f"{name}: .*function handler"):
            CloudFrontFunctions(stack(), "Edge", **{name: code(text)})  # type: ignore[arg-type]


def test_a_file_that_is_not_there_is_named() -> None:
    missing = cloudfront.FunctionCode.from_file(file_path="/nope.js")
    with pytest.raises(ValueError, match=r"viewer_response: its file cannot be read.*/nope\.js"):
        CloudFrontFunctions(stack(), "Edge", viewer_response=missing)


@pytest.mark.parametrize(
    "text",
    [
        f"// fetch(this) and import fs from 'fs'\n{PLAIN}",
        f"/* require('fs') */ {PLAIN}",
        f"import qs from 'querystring';\nconst crypto = require('crypto');\n{PLAIN}",
        f"{PLAIN} function prefetch(x) {{ return cache.fetch(x); }}",
        "async function handler (event) { return event.request; }",
        f"const a = 1; // no fetch() here\n{PLAIN}",
        f"function fetch(x) {{ return x; }} {PLAIN} fetch(1);",
        f"const half = 4 / 2; const url = 'a/b'; {PLAIN}",
        f'function isFile(uri) {{ return /[\'"]/.test(uri); }}\n{PLAIN}\nconst quote = "\'";',
        f"const slashes = /[/*]/; const stars = 2 */ 1/.exec('1').index; {PLAIN}",
    ],
)
def test_what_only_looks_like_it_is_taken(text: str) -> None:
    assert not doubts(text)


def test_a_text_that_looks_like_code_refuses_nothing() -> None:
    (found,) = doubts(f"const m = 'do not call eval(x)'; {PLAIN}")
    assert "calls eval" in found


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "give one of them"),
        ({"viewer_request": code(PLAIN), "initial_items": {"": "x"}}, "1 to 512"),
        ({"viewer_request": code(PLAIN), "initial_items": {"ä" * 257: "x"}}, "1 to 512"),
        ({"viewer_request": code(PLAIN), "initial_items": {"a": "ä" * 513}}, "0 to 1,024"),
        ({"viewer_request": code(PLAIN), "initial_items": TOO_MANY}, "0 to 5,242,880 bytes for all items"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        CloudFrontFunctions(stack(), "Edge", **given)


def test_items_are_for_a_new_store_and_known_now() -> None:
    made = stack()
    store = cloudfront.KeyValueStore(made, "Own")
    with pytest.raises(ValueError, match="cannot be combined with key_value_store"):
        CloudFrontFunctions(
            made, "Edge", viewer_request=code(READING), key_value_store=store, initial_items={}
        )
    late = CfnParameter(made, "Late").value_as_string
    with pytest.raises(ValueError, match="put it into the store after the deployment"):
        CloudFrontFunctions(made, "Edge", viewer_request=code(READING), initial_items={"a": late})
