"""The construct of `lambda-edge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.edge.lambda_edge import EdgeHook, LambdaEdge

CODE = lambda_.Code.from_inline("def handler(event, context): return event['Records'][0]['cf']['request']")
POINTS = ("viewer_request", "origin_request", "origin_response", "viewer_response")


def hook(**options: Any) -> EdgeHook:
    """A hook with inline code."""
    return EdgeHook(**{"code": CODE, "handler": "index.handler", **options})


def stack(region: str | None = "us-east-1") -> Stack:
    """An empty stack."""
    environment = Environment(account="123456789012", region=region)
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=environment)


def test_a_function_has_what_the_edge_allows_and_stays() -> None:
    made = stack()
    edge = LambdaEdge(made, "Edge", **{point: hook() for point in POINTS})
    assert list(edge.functions) == list(POINTS)
    assert [one.event_type.name for one in edge.edge_lambdas] == [point.upper() for point in POINTS]
    template = Template.from_stack(made)
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    functions = template.find_resources("AWS::Lambda::Function")
    assert len(functions) == 4
    for function in functions.values():
        assert kept.items() <= function.items()
        properties = function["Properties"]
        assert (properties["MemorySize"], properties["Timeout"]) == (128, 5)
        assert not {"Environment", "TracingConfig", "DeadLetterConfig", "Layers"} & properties.keys()
        assert properties.get("Architectures", ["x86_64"]) == ["x86_64"]
    for version in template.find_resources("AWS::Lambda::Version").values():
        assert kept.items() <= version.items()
    for role in template.find_resources("AWS::IAM::Role").values():
        statements = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        trusted = {one["Principal"]["Service"] for one in statements}
        assert trusted == {"lambda.amazonaws.com", "edgelambda.amazonaws.com"}
        assert "ManagedPolicyArns" not in role["Properties"]


def test_functions_for_a_stack_of_another_region_are_in_us_east_1() -> None:
    made = stack("eu-west-1")
    edge = LambdaEdge(made, "Edge", origin_request=hook(include_body=True))
    assert edge.edge_lambdas[0].include_body is True
    assembly = App.of(made).synth()  # type: ignore[union-attr]
    regions = {
        artifact.environment.region
        for artifact in assembly.stacks
        if any(one["Type"] == "AWS::Lambda::Version" for one in artifact.template["Resources"].values())
    }
    assert regions == {"us-east-1"}


def test_the_stack_in_us_east_1_serves_many() -> None:
    made = stack("eu-west-1")
    for name in ("One", "Two"):
        edge = LambdaEdge(made, name, viewer_request=hook())
        CfnOutput(made, f"{name}Arn", value=edge.edge_lambdas[0].function_version.edge_arn)
    assembly = App.of(made).synth()  # type: ignore[union-attr]
    (support,) = (one.template for one in assembly.stacks if one.environment.region == "us-east-1")
    types = [one["Type"] for one in support["Resources"].values()]
    assert types.count("AWS::Lambda::Function") == 2


@pytest.mark.parametrize("region", [None, "cn-north-1", "us-gov-west-1", "moon-1"])
def test_there_are_places_without_lambda_edge(region: str | None) -> None:
    with pytest.raises(
        ValueError, match="no Region" if region in (None, "moon-1") else "does not exist there"
    ):
        LambdaEdge(stack(region), "Edge", origin_request=hook())


@pytest.mark.parametrize(
    ("point", "options", "wrong"),
    [
        ("viewer_request", {"timeout": Duration.seconds(6)}, r"viewer_request.timeout.*1 to 5"),
        ("viewer_response", {"memory_size": 129}, r"viewer_response.memory_size.*128"),
        ("origin_request", {"timeout": Duration.seconds(31)}, "1 to 30"),
        ("origin_response", {"memory_size": 10_241}, "10,240"),
        ("origin_response", {"include_body": True}, "only requests have a body"),
        ("viewer_response", {"include_body": True}, "only requests have a body"),
        ("origin_request", {"runtime": lambda_.Runtime.JAVA_21}, "Python and Node.js"),
        ("viewer_request", {"handler": "handler", "code": "."}, "viewer_request.handler='handler'.*module"),
        ("viewer_request", {"handler": ".handler"}, "give module.function"),
        ("viewer_request", {"handler": "index."}, "give module.function"),
        ("viewer_request", {"handler": "..handler"}, "give module.function"),
        ("viewer_request", {"handler": "../index.handler"}, "give module.function"),
        ("origin_request", {"runtime": lambda_.Runtime.PYTHON_3_7}, r"runtime='python3\.7'.* any more"),
        ("origin_request", {"runtime": lambda_.Runtime.NODEJS_12_X}, r"runtime='nodejs12\.x'.* any more"),
        ("origin_request", {"runtime": lambda_.Runtime.NODEJS}, "runtime='nodejs'.* any more"),
    ],
)
def test_the_limits_of_each_point(point: str, options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        LambdaEdge(stack(), "Edge", **{point: hook(**options)})


def test_the_largest_values_are_taken_and_none_is_refused() -> None:
    origin = hook(timeout=Duration.seconds(30), memory_size=10_240, runtime=lambda_.Runtime.NODEJS_22_X)
    LambdaEdge(stack(), "Edge", origin_request=origin, viewer_request=hook(timeout=Duration.seconds(5)))
    with pytest.raises(ValueError, match="give one or more of viewer_request, origin_request"):
        LambdaEdge(stack(), "Edge")


@pytest.mark.parametrize(
    ("source", "options", "cheaper"),
    [
        ("import json\nfrom urllib.parse import parse_qs", {}, True),
        ("import boto3", {}, False),
        ("from urllib.request import urlopen", {}, False),
        ("from http import HTTPStatus", {}, True),
        ("import json, urllib.request", {}, False),
        ("from urllib import request", {}, False),
        ("import json, smtplib as s", {}, False),
        ("def f():\n    import json; import socket", {}, False),
        ("from . import other", {}, False),
        ("this is no Python", {}, False),
        ("import json", {"include_body": True}, False),
    ],
)
def test_code_that_needs_no_lambda_points_to_cloudfront_functions(
    tmp_path: Path, source: str, options: dict[str, Any], cheaper: bool
) -> None:
    code = f"{source}\n\n\ndef handler(event, context):\n    return event\n"
    (tmp_path / "handler.py").write_text(code, "utf-8")
    made = stack()
    given = EdgeHook(code=tmp_path, **options)
    LambdaEdge(made, "Edge", viewer_request=given, origin_request=given)
    message = Match.string_like_regexp("CloudFront Functions would do")
    found = Annotations.from_stack(made).find_warning("*", message)
    assert len(found) == cheaper


@pytest.mark.parametrize(
    ("files", "options", "wrong"),
    [
        ({"handler.py": "import nosuch"}, {}, "imports nosuch"),
        ({"handler.py": "from nosuch.deep import x"}, {}, "imports nosuch"),
        ({"handler.py": "import json, requests as r"}, {}, "imports requests"),
        ({"index.mjs": ""}, {"handler": "nope.handler"}, "none of nope.mjs, nope.cjs, nope.js"),
        ({"index.py": ""}, {"handler": "index.handler"}, "none of index.mjs"),
    ],
)
def test_a_module_that_the_edge_does_not_have_is_refused(
    tmp_path: Path, files: dict[str, str], options: dict[str, Any], wrong: str
) -> None:
    runtime = lambda_.Runtime.NODEJS_22_X if "handler" in options else None
    with pytest.raises(ValueError, match=wrong):
        LambdaEdge(stack(), "Edge", origin_request=written(tmp_path, files, runtime=runtime, **options))


@pytest.mark.parametrize(
    "files",
    [
        {"handler.py": "import boto3, botocore.exceptions, json, urllib3"},
        {"handler.py": "import other\nimport package.deep", "other.py": "", "package/__init__.py": ""},
        {"handler.py": "try:\n    import nosuch\nexcept ImportError:\n    pass"},
    ],
)
def test_a_module_of_the_runtime_or_the_folder_is_taken(tmp_path: Path, files: dict[str, str]) -> None:
    LambdaEdge(stack(), "Edge", origin_request=written(tmp_path, files))


def written(folder: Path, files: dict[str, str], **options: Any) -> EdgeHook:
    """A hook whose folder has these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        code = f"{content}\n\n\ndef handler(event, context):\n    return event\n"
        (folder / name).write_text(code if name.endswith(".py") else content, "utf-8")
    return EdgeHook(code=folder, **options)


@pytest.mark.parametrize("name", ["python3.99", "nodejs99.x", "provided.al2023", "java21"])
def test_a_runtime_that_is_neither_python_nor_node_js_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Lambda@Edge runs Python and Node"):
        LambdaEdge(stack(), "Edge", origin_request=hook(runtime=lambda_.Runtime(name)))


def test_a_runtime_that_the_cdk_lacks_is_taken_with_its_family(tmp_path: Path) -> None:
    runtime = lambda_.Runtime("nodejs99.x", lambda_.RuntimeFamily.NODEJS)
    given = written(tmp_path, {"index.mjs": ""}, handler="index.handler", runtime=runtime)
    LambdaEdge(stack(), "Edge", origin_request=given)
