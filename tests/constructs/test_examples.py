"""The examples in docstrings, in README.md and on the pages run as they stand."""

import importlib
import inspect
import json
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk
import pytest
from aws_cdk import App, Duration, Environment, RemovalPolicy, Size, Stack, TimeZone
from aws_cdk import aws_codepipeline_actions as codepipeline_actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

import cdk_lambda_patterns
from cdk_lambda_patterns.core.network import PrivateNetwork
from tasks.synthesis import ROOT, app_context

_FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def public_classes() -> Iterator[type]:
    """Every class that this library offers and defines."""
    for module in pkgutil.walk_packages(cdk_lambda_patterns.__path__, "cdk_lambda_patterns."):
        if "._" not in module.name:
            for name, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if member.__module__ == module.name and not name.startswith("_"):
                    yield member


def example_of(documented: type) -> str:
    """The code after ``Example::`` in a docstring, up to the next line that is not indented."""
    _, _, rest = inspect.cleandoc(documented.__doc__ or "").partition("Example::\n")
    lines = []
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines)).strip()


CONSTRUCTS_AND_OPTIONS = [
    documented
    for documented in public_classes()
    if issubclass(documented, Construct) or documented.__name__.endswith("Options")
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that must synthesise once the example has built into it, with handlers that AWS finds."""
    app = App(context=app_context(), outdir=str(tmp_path / "out"), builtin_cloud_formation_validation=False)
    yield Stack(app, "Example")
    app.synth()
    assert list(lost_handlers(tmp_path / "out")) == []


def lost_handlers(assembly: Path) -> Iterator[str]:
    """The functions of an assembly whose inline code has not the handler that they name.

    CloudFormation writes inline code to a file named `index`.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
    """
    for file in assembly.glob("*.template.json"):
        for name, resource in json.loads(file.read_text())["Resources"].items():
            properties = resource.get("Properties", {})
            source = properties.get("Code", {}).get("ZipFile")
            if resource["Type"] == "AWS::Lambda::Function" and isinstance(source, str):
                module, _, function = properties["Handler"].rpartition(".")
                if module != "index" or not re.search(rf"\b{function}\b", source):
                    yield f"{name}: {properties['Handler']}"


@pytest.mark.parametrize("documented", CONSTRUCTS_AND_OPTIONS, ids=lambda documented: documented.__name__)
def test_the_example_of_a_public_class_builds_twice_in_one_stack(
    documented: type, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = example_of(documented)
    assert code, f"{documented.__qualname__} has no example"
    assert len(code.splitlines()) <= 8
    (tmp_path / "worker").mkdir()
    for module in ("handler.py", "migration.py"):
        (tmp_path / "worker" / module).write_text("def handler(event, context):\n    return event\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        **vars(importlib.import_module(documented.__module__)),
        # What a user imports: a construct that is a folder has its public names there.
        **vars(importlib.import_module(".".join(documented.__module__.split(".")[:3]))),
        "Duration": Duration,
        "Environment": Environment,
        "FunctionOptions": cdk_lambda_patterns.FunctionOptions,
        "HardenedFunction": cdk_lambda_patterns.HardenedFunction,
        "RemovalPolicy": RemovalPolicy,
        "Size": Size,
        "TimeZone": TimeZone,
        "bucket": s3.Bucket(stack, "Bucket"),
        "bus": events.EventBus(stack, "Bus"),
        "codepipeline_actions": codepipeline_actions,
        "ec2": ec2,
        "AsyncOptions": cdk_lambda_patterns.AsyncOptions,
        "PrivateNetwork": PrivateNetwork,
        "s3": s3,
        "secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-a1b2c3",
        "subscriptions": subscriptions,
        "table": dynamodb.Table(
            stack,
            "Table",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        ),
        "topic": sns.Topic(stack, "Topic"),
        "vpc": ec2.Vpc(stack, "Vpc", max_azs=1, nat_gateways=0),
        "website": iam.User(stack, "Website"),
    }
    for instance in ("One", "Two"):
        names["self"] = Construct(stack, instance)
        exec(compile(code, documented.__qualname__, "exec"), names)  # noqa: S102 - our own examples


def test_every_public_class_documents_itself() -> None:
    for documented in CONSTRUCTS_AND_OPTIONS:
        text = inspect.cleandoc(documented.__doc__ or "")
        raises = (
            ("Raises:",) if hasattr(documented, "__post_init__") or issubclass(documented, Construct) else ()
        )
        for section in ("Args:", *raises, "Example::"):
            assert section in text, f"{documented.__qualname__}: no {section}"
        if issubclass(documented, Construct):
            assert "Attributes:" in text
            assert "https://docs.aws.amazon.com/" in text


def pages() -> list[Path]:
    """Every page with examples in Python."""
    return [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.exists()]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_on_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is a whole program; an app is run with this repository's context and must synthesise."""

    def app_without_bundling(*_: object, **__: object) -> App:
        return App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)

    for code in _FENCED.findall(page.read_text()):
        monkeypatch.setattr(aws_cdk, "App", app_without_bundling)
        exec(compile(code, str(page), "exec"), {"__name__": "__main__"})  # noqa: S102 - our own pages
        monkeypatch.undo()
        if "App()" in code:
            assert list(tmp_path.glob("*.template.json")), f"{page}: the example makes no stack"
            assert list(lost_handlers(tmp_path)) == []
