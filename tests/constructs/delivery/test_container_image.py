"""ContainerImageFunction: where its image comes from, what it may not have, and who may pull."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aws_cdk import App, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import AsyncOptions, FunctionOptions, ImageFunctionOptions
from cdk_lambda_patterns.delivery.container_image import (
    ContainerImageCode,
    ContainerImageFunction,
    ImageRepository,
)
from tests.templates import Resources, stack_with, walk

DIGEST = f"sha256:{'a' * 64}"
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
EU = Environment(account="123456789012", region="eu-west-1")


def new_stack(env: Environment | None = None) -> Stack:
    """A stack whose synthesis validates nothing, which takes seconds."""
    app = App(analytics_reporting=False, builtin_cloud_formation_validation=False)
    return Stack(app, "Stack", env=env)


def template_of(stack: Stack) -> Resources:
    return Resources(dict(Template.from_stack(stack).to_json()))


def synthesised(stack: Stack) -> str:
    return app_of(stack).synth().directory


def app_of(stack: Stack) -> App:
    app = stack.node.root
    assert isinstance(app, App)
    return app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context."""
    (tmp_path / "Dockerfile").write_text("FROM public.ecr.aws/lambda/python:3.14 AS one\nFROM one\n")
    return tmp_path


@stack_with
def made(stack: Stack) -> None:
    images = ImageRepository(
        stack, "Images", mutable_tags=["live-*"], keep_images=10, accounts=["222222222222"]
    )
    code = ContainerImageCode.from_ecr(
        images, tag_or_digest=DIGEST, cmd=("app.handler",), entrypoint=["/run"], working_directory="/app"
    )
    ContainerImageFunction(
        stack,
        "Function",
        code=code,
        asynchronous=AsyncOptions(),
        environment={"A1": "1"},
        options=ImageFunctionOptions(memory_size=512, environment={"B1": "2"}),
    )


def test_the_function_has_no_settings_of_a_zip_file(made: Resources) -> None:
    function = made.only("AWS::Lambda::Function")
    assert not {"Handler", "Layers", "Runtime", "SnapStart", "CodeSigningConfigArn"} & set(function)
    assert function["PackageType"] == "Image"
    assert function["ImageConfig"] == {
        "Command": ["app.handler"],
        "EntryPoint": ["/run"],
        "WorkingDirectory": "/app",
    }
    assert (function["MemorySize"], function["Timeout"], function["Architectures"]) == (512, 30, ["arm64"])
    assert function["Environment"]["Variables"] == {"A1": "1", "B1": "2"}
    assert f"@{DIGEST}" in json.dumps(function["Code"]["ImageUri"])


def test_it_is_as_hardened_as_a_function_from_a_zip_file(made: Resources) -> None:
    function = made.only("AWS::Lambda::Function")
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert "ManagedPolicyArns" not in made.only("AWS::IAM::Role")
    assert len(made.all("AWS::SQS::Queue")) == 1
    # Nothing about images: Lambda pulls, not the function.
    assert not any(action.startswith("ecr:") for action in made.actions("FunctionServiceRole"))


def test_a_repository(made: Resources) -> None:
    repository = made.only("AWS::ECR::Repository")
    assert repository["ImageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    (kept,) = repository["ImageTagMutabilityExclusionFilters"]
    assert kept["ImageTagMutabilityExclusionFilterValue"] == "live-*"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    # None by age: ECR counts from the push, and a function may run an image that has lost its tag.
    assert [(one["selection"]["countType"], one["selection"]["countNumber"]) for one in rules] == [
        ("imageCountMoreThan", 10)
    ]


def test_lambda_pulls_for_the_functions_of_named_accounts(made: Resources) -> None:
    service, accounts = made.only("AWS::ECR::Repository")["RepositoryPolicyText"]["Statement"]
    assert service["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert service["Action"] == accounts["Action"] == PULL
    functions = service["Condition"]["StringLike"]["aws:SourceArn"]
    assert len(functions) == 2
    assert ":222222222222:function:*" in list(walk(functions[1]))
    assert ":iam::222222222222:root" in list(walk(accounts["Principal"]))


def test_a_repository_by_default() -> None:
    stack = new_stack()
    ImageRepository(stack, "Images")
    images = stack.node.find_child("Images").node.default_child
    assert isinstance(images, ecr.CfnRepository)
    found = template_of(stack).template["Resources"][stack.get_logical_id(images)]
    assert found["DeletionPolicy"] == "Retain"
    assert found["Properties"]["ImageTagMutability"] == "IMMUTABLE"
    assert "EmptyOnDelete" not in found["Properties"]
    assert len(found["Properties"]["RepositoryPolicyText"]["Statement"]) == 1


def test_it_can_be_deleted_with_its_images() -> None:
    stack = new_stack()
    ImageRepository(stack, "Images", removal_policy=RemovalPolicy.DESTROY)
    assert template_of(stack).only("AWS::ECR::Repository")["EmptyOnDelete"] is True


@pytest.mark.parametrize("kind", ["owned", "from another stack", "imported"])
def test_repositories_of_the_user(kind: str) -> None:
    stack = new_stack()
    other = Stack(app_of(stack), "Other")
    if kind == "imported":
        repository = ecr.Repository.from_repository_name(stack, "Images", "theirs")
    else:
        repository = ecr.Repository(stack if kind == "owned" else other, "Images")
    ContainerImageFunction(stack, "One", code=ContainerImageCode.from_ecr(repository, tag_or_digest="1"))
    ContainerImageFunction(stack, "Two", code=ContainerImageCode.from_ecr(repository, tag_or_digest="2"))
    owner = template_of(other if kind == "from another stack" else stack)
    assert len(template_of(stack).all("AWS::Lambda::Function")) == 2
    statements = [
        one
        for found in owner.all("AWS::ECR::Repository").values()
        for one in found["RepositoryPolicyText"]["Statement"]
    ]
    # Each with its condition: the CDK itself would let Lambda pull for every account.
    assert all("aws:SourceArn" in one["Condition"]["StringLike"] for one in statements)
    assert bool(statements) is (kind != "imported")


def test_a_repository_of_another_account_must_allow_it_already() -> None:
    stack = new_stack(env=EU)
    arn = "arn:aws:ecr:eu-west-1:222222222222:repository/theirs"
    theirs = ecr.Repository.from_repository_arn(stack, "Images", arn)
    ContainerImageFunction(stack, "Function", code=ContainerImageCode.from_ecr(theirs, tag_or_digest="1"))
    text = Match.string_like_regexp("must allow this account and lambda.amazonaws.com")
    Annotations.from_stack(stack).has_warning("/Stack", text)


def test_a_repository_of_another_region() -> None:
    stack = new_stack(env=EU)
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/theirs"
    theirs = ecr.Repository.from_repository_arn(stack, "Images", arn)
    with pytest.raises(ValueError, match="in the Region of the function only"):
        ContainerImageFunction(stack, "Function", code=ContainerImageCode.from_ecr(theirs, tag_or_digest="1"))


def test_a_folder_is_built_for_the_architecture_of_the_function(folder: Path) -> None:
    stack = new_stack()
    arguments = MappingProxyType({"RELEASE": "1"})
    code = ContainerImageCode.from_image_asset(folder, target="one", build_args=arguments)
    ContainerImageFunction(stack, "Arm", code=code)
    options = ImageFunctionOptions(architecture=lambda_.Architecture.X86_64)
    ContainerImageFunction(stack, "X86", code=code, options=options)
    ContainerImageFunction(
        stack,
        "Same",
        code=ContainerImageCode.from_image_asset(folder, target="one", build_args={"RELEASE": "1"}),
    )
    assets = json.loads(Path(synthesised(stack), "Stack.assets.json").read_text())["dockerImages"]
    sources = [one["source"] for one in assets.values()]
    assert sorted(one["platform"] for one in sources) == ["linux/amd64", "linux/arm64"]
    assert {one["dockerBuildTarget"] for one in sources} == {"one"}
    assert sources[0]["dockerBuildArgs"] == {"RELEASE": "1"}


@pytest.mark.parametrize(
    "line", ["FROM --platform=linux/amd64 scratch", "from  --platform=linux/amd64 a AS b"]
)
def test_a_dockerfile_for_the_other_architecture(folder: Path, line: str) -> None:
    (folder / "Dockerfile").write_text(f"# syntax\n{line}\n")
    code = ContainerImageCode.from_image_asset(folder)
    with pytest.raises(ValueError, match="the function is arm64: it would fail with 'exec format error'"):
        ContainerImageFunction(new_stack(), "Function", code=code)
    options = ImageFunctionOptions(architecture=lambda_.Architecture.X86_64)
    ContainerImageFunction(new_stack(), "Function", code=code, options=options)


@pytest.mark.parametrize("tag", ["latest", "", "a b", "sha256:abc", "-x", "x" * 129])
def test_tags_that_are_refused(tag: str) -> None:
    images = ecr.Repository.from_repository_name(new_stack(), "Images", "theirs")
    with pytest.raises(ValueError, match="tag_or_digest="):
        ContainerImageCode.from_ecr(images, tag_or_digest=tag)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cmd": []}, r"cmd=\[\]: leave it out"),
        ({"entrypoint": ()}, r"entrypoint=\(\): leave it out"),
        ({"cmd": "app.handler"}, "cmd"),
        ({"entrypoint": ["x"] * 1501}, r"len\(entrypoint\)=1,501"),
        ({"working_directory": "x" * 1001}, r"len\(working_directory\)=1,001"),
        ({"file": "Other"}, "file='Other'"),
    ],
)
def test_arguments_that_are_refused(folder: Path, given: Any, said: str) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        ContainerImageCode.from_image_asset(folder, **given)


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(NotADirectoryError, match="the folder does not exist"):
        ContainerImageCode.from_image_asset("nowhere")


@pytest.mark.parametrize(
    "options",
    [
        FunctionOptions(runtime=lambda_.Runtime.PYTHON_3_14),
        FunctionOptions(snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS),
    ],
)
def test_options_of_zip_files(folder: Path, options: FunctionOptions) -> None:
    code = ContainerImageCode.from_image_asset(folder)
    with pytest.raises(
        ValueError, match=r"options\.\w+: Lambda has none for functions from container images"
    ):
        ContainerImageFunction(new_stack(), "Function", code=code, options=options)


def test_options_that_both_have(folder: Path) -> None:
    stack = new_stack()
    code = ContainerImageCode.from_image_asset(folder)
    ContainerImageFunction(stack, "Function", code=code, options=FunctionOptions(memory_size=512))
    assert template_of(stack).only("AWS::Lambda::Function")["MemorySize"] == 512


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep_images": 0}, "keep_images=0"),
        ({"mutable_tags": ["a"] * 6}, r"len\(mutable_tags\)=6"),
        ({"accounts": ["1"]}, "accounts"),
    ],
)
def test_a_repository_that_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ImageRepository(new_stack(), "Images", **given)
