"""Every stack of the catalogue: no finding, nothing changed unnoticed, and described."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks
from cfnlint.config import ConfigMixIn  # type: ignore[import-untyped]
from cfnlint.decode import decode_str  # type: ignore[import-untyped]
from cfnlint.runner import Runner  # type: ignore[import-untyped]
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from stacks.catalogue import ARCHITECTURES, Architecture, find
from stacks.pattern_stack import switch
from tasks.synthesis import app_context
from tests.stacks.synthesis import read_findings
from tests.templates import Assembly, Resources

ROOT = Path(__file__).resolve().parents[2]

RECORDED = Path(__file__).with_name("stateful_resources.json")

# Replacing one of these loses what it holds.
STATEFUL = {
    "AWS::CloudFront::KeyValueStore",
    "AWS::Cognito::IdentityPool",
    "AWS::Cognito::UserPool",
    "AWS::DynamoDB::GlobalTable",
    "AWS::AmazonMQ::Broker",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    "AWS::Events::Archive",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda row: row.id)


def test_no_validation_has_a_finding(catalogue: Assembly) -> None:
    assert catalogue.findings == []


def test_a_finding_of_the_cdk_or_of_cdk_nag_would_be_seen(tmp_path: Path) -> None:
    app = App(context=app_context(), outdir=str(tmp_path))
    stack = Stack(app, "Bad")
    bucket = s3.Bucket(stack, "Open")
    bucket.node.default_child.add_property_override("BucketName", "Not_A_Name")  # type: ignore[union-attr]
    sqs.Queue(stack, "Plain", enforce_ssl=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    findings = "\n".join(read_findings(tmp_path))
    assert "AwsSolutions-S10" in findings  # cdk-nag: requests without TLS
    assert "'Not_A_Name' does not match pattern" in findings  # the CDK's own check of the template


@pytest.fixture(scope="module")
def cfn_lint() -> Runner:
    """CloudFormation's linter. Reading its rules takes longer than a template, so all templates share it."""
    # W3005: a DependsOn that a Ref already implies; the CDK writes both.
    # W3691: a major version of an engine, which RDS accepts; cfn-lint knows minor ones only.
    return Runner(ConfigMixIn(regions=["us-east-1"], ignore_checks=["W3005", "W3691"]))


@every_architecture
def test_the_template_passes_cfn_lint(
    catalogue: Assembly, architecture: Architecture, cfn_lint: Runner
) -> None:
    text = (catalogue.folder / f"{architecture.id}.template.json").read_text()
    template, unreadable = decode_str(text)
    assert not unreadable
    matches = cfn_lint.validate_template(template)
    assert [f"{match.rule.id} {match.path}: {match.message}" for match in matches] == []


@every_architecture
def test_the_template_is_the_recorded_one(
    catalogue: Assembly, architecture: Architecture, snapshot: SnapshotAssertion
) -> None:
    recorded = snapshot.use_extension(JSONSnapshotExtension)(name=architecture.id)
    assert mask_hashes(catalogue.stacks[architecture.id].template) == recorded


def mask_hashes(template: dict[str, Any]) -> dict[str, Any]:
    """Mask what changes with the code of a handler: hashes of assets, and of versions in logical ids."""
    text = json.dumps(template)
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
    text = re.sub(r"(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}", r"\1HASH", text)
    masked: dict[str, Any] = json.loads(text)
    return masked


def test_only_hashes_are_masked() -> None:
    code = {"S3Key": f"{'0a' * 32}.zip", "Version": {"Ref": f"FunctionCurrentVersion0A1B2C3D{'0f' * 16}"}}
    assert mask_hashes({**code, "Name": "0" * 63}) == {
        "S3Key": "HASH.zip",
        "Version": {"Ref": "FunctionCurrentVersion0A1B2C3DHASH"},
        "Name": "0" * 63,
    }


@every_architecture
def test_no_stateful_resource_changed_its_logical_id(catalogue: Assembly, architecture: Architecture) -> None:
    """The promise to users: an update never replaces a bucket or a table.

    A deliberate change is recorded in ``stateful_resources.json`` together with its reason in the changelog.
    """
    recorded: dict[str, str] = json.loads(RECORDED.read_text()).get(architecture.id, {})
    now = stateful(catalogue.stacks[architecture.id])
    gone = recorded.items() - now.items()
    assert not gone, (
        f"{sorted(gone)}: users would lose what these hold. Keep the ids; or, on purpose, record the new "
        f"ones in {RECORDED.name} and the reason in CHANGELOG.md."
    )
    new = now.items() - recorded.items()
    assert not new, f"{sorted(new)}: new; record them in {RECORDED.name}: from now on users depend on them."


def stateful(resources: Resources) -> dict[str, str]:
    """The stateful resources of a template: type by logical id."""
    return {
        logical_id: resource["Type"]
        for logical_id, resource in resources.template["Resources"].items()
        if resource["Type"] in STATEFUL
    }


@every_architecture
def test_the_stack_is_named_after_its_id_and_says_what_it_is(
    catalogue: Assembly, architecture: Architecture
) -> None:
    template = catalogue.stacks[architecture.id].template
    assert architecture.id in json.loads((catalogue.folder / "manifest.json").read_text())["artifacts"]
    assert template["Description"].startswith("cdk-lambda-patterns: ")
    assert template["Description"].isascii()
    functions = catalogue.stacks[architecture.id].all("AWS::Lambda::Function").values()
    tag = {"Key": "cdk-lambda-patterns:architecture", "Value": architecture.id}
    assert any(tag in function.get("Tags", []) for function in functions)  # the CDK's own have none


def test_a_prefix_and_an_environment_come_from_the_context(tmp_path: Path) -> None:
    context = {
        **app_context(),
        "stack-prefix": "test-",
        "account": "123456789012",
        "region": "eu-west-1",
    }
    app = App(context=context, outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    find("thumbnailer").make_stack(app)
    app.synth()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    artifact = manifest["artifacts"]["thumbnailer"]
    assert artifact["environment"] == "aws://123456789012/eu-west-1"
    assert artifact["properties"]["stackName"] == "test-thumbnailer"


@pytest.mark.parametrize(
    ("id", "name", "value", "remedy"),
    [
        ("sqs-consumer", "account", "1234", "give the 12 digits of an account"),
        ("sqs-consumer", "region", "nowhere", "give a Region, such as 'eu-west-1'"),
        ("sqs-consumer", "stack-prefix", "my_", "give letters, digits and hyphens, a letter first"),
        ("alb-function", "certificate-arn", "odd", "give the ARN of a certificate"),
        ("metadata-sync", "metadata-sync-postgres", "maybe", "give true or false"),
        ("order-services", "environment", "Test", "give a lower-case letter and up to 19"),
        ("order-services", "environment", "1", "give a lower-case letter and up to 19"),
        ("order-services", "environment", "t_1", "give a lower-case letter and up to 19"),
        ("order-services", "environment", "t" * 21, "give a lower-case letter and up to 19"),
        ("order-services", "environment", "test-", "give a lower-case letter and up to 19"),
        ("order-services", "environment", 0, "give a lower-case letter and up to 19"),
        ("order-services", "environment", False, "give a lower-case letter and up to 19"),
        ("order-services", "cloud-watch-role", "no", "give true or false"),
        ("todo-api", "cloud-watch-role", 0, "give true or false"),
        ("http-api", "cloud-watch-role", "0", "give true or false"),
        ("todo-api", "dax", "yes", "give true or false"),
    ],
)
def test_a_value_of_the_context_that_is_not_allowed_is_an_error(
    id: str, name: str, value: object, remedy: str
) -> None:
    with pytest.raises(ValueError, match=f"^-c {name}={value}: {remedy}"):
        find(id).make_stack(App(context={**app_context(), name: value}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("False", False), (True, True), (False, False), ("", True), (None, True)],
)
def test_a_switch_of_the_context_is_a_word_or_a_boolean(value: object, expected: bool) -> None:
    assert switch(App(context={"logs": value}), "logs", default=True) is expected


@pytest.mark.parametrize(("name", "value"), [("only", "thumbnails"), ("region", "nowhere")])
def test_the_app_says_in_a_sentence_what_is_wrong_with_its_context(name: str, value: str) -> None:
    context = {"only": "thumbnailer", "aws:cdk:bundling-stacks": [], name: value}
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "CDK_CONTEXT_JSON": json.dumps(context)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    *before, last = done.stderr.splitlines()
    assert last.startswith("app.py: ")
    assert value in last
    assert not any(line.startswith("Traceback") for line in before)


def test_an_unknown_architecture_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(LookupError, match=r"'thumbnails': no such architecture; there are: .*thumbnailer"):
        find("thumbnails")
