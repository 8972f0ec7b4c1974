"""The wheel has the constructs with their handlers, and any other app can use them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.requirements import reachable

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "cdk_lambda_patterns"

# One of every public construct, each with its handler from the wheel.
APP = """\
import inspect, json, pkgutil, sys
from importlib import import_module
from pathlib import Path
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk.aws_apigateway import AuthorizationType, StageOptions
from aws_cdk.aws_apigateway import RestApi as Api
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_cloudfront import FunctionCode
from aws_cdk.aws_config import MaximumExecutionFrequency
from aws_cdk.aws_dynamodb import Attribute, AttributeType, StreamViewType, Table
from aws_cdk.aws_events import EventPattern
from aws_cdk.aws_lambda import FunctionUrlAuthType
from aws_cdk.aws_rds import DatabaseCluster, DatabaseClusterEngine
from aws_cdk.aws_s3 import Bucket
from aws_cdk.aws_s3_assets import Asset
from aws_cdk.aws_scheduler import ScheduleExpression
from aws_cdk.aws_stepfunctions_tasks import LambdaInvoke
from constructs import Construct
import cdk_lambda_patterns
from cdk_lambda_patterns import HardenedFunction
from cdk_lambda_patterns.data.efs_function import EfsFunction
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_events import RdsEvents, RdsEventSource
from cdk_lambda_patterns.data.rds_invokes_lambda import RdsInvokesLambda
from cdk_lambda_patterns.data.rds_proxy import RdsProxyFunction
from cdk_lambda_patterns.delivery.canary_alias import CanaryAlias, SmokeCase, SmokeTest
from cdk_lambda_patterns.delivery.code_signing import CodeSigning, SignedFunction
from cdk_lambda_patterns.delivery.cross_account_code import CodeBucket, CodeFromBucket
from cdk_lambda_patterns.edge.cloudfront_functions import CloudFrontFunctions
from cdk_lambda_patterns.edge.lambda_edge import EdgeHook, LambdaEdge
from cdk_lambda_patterns.observability.tracing import Tracing
from cdk_lambda_patterns.delivery.encrypted_environment import EncryptedEnvironment
from cdk_lambda_patterns.observability.profiling import ProfiledFunction
from cdk_lambda_patterns.delivery.container_image import (
    ContainerImageCode,
    ContainerImageFunction,
    ImageRepository,
)
from cdk_lambda_patterns.delivery.environments import NEWEST, Environments
from cdk_lambda_patterns.delivery.layers import CustomRuntimeFunction, DependenciesLayer
from cdk_lambda_patterns.delivery.extension import LogShippingExtension
from cdk_lambda_patterns.delivery.provisioned_concurrency import ProvisionedConcurrencyAlias
from cdk_lambda_patterns.delivery.scratch_space import ScratchSpaceFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.events.event_bus import EventBus
from cdk_lambda_patterns.events.pipeline_events import PipelineAction, PipelineEvents, StateChanges
from cdk_lambda_patterns.events.scheduled_function import ScheduledFunction
from cdk_lambda_patterns.identity.cognito_triggers import CognitoTriggers, Trigger
from cdk_lambda_patterns.messaging.async_function import AsyncFunction
from cdk_lambda_patterns.messaging.sns_consumer import SnsConsumer
from cdk_lambda_patterns.messaging.sns_fifo_fanout import SnsFifoFanout, Subscriber
from cdk_lambda_patterns.messaging.mq_consumer import MqConsumer
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.observability.monitoring import Monitoring
from cdk_lambda_patterns.observability.service_hooks import (
    AlexaSkill,
    ConfigFunctionRule,
    CustomResourceFunction,
    IotRule,
    LexCodeHook,
    SesInbound,
)
from cdk_lambda_patterns.storage.batch_operation import BatchOperation
from cdk_lambda_patterns.storage.metadata_sync import MetadataSync
from cdk_lambda_patterns.storage.thumbnailer import Thumbnailer
from cdk_lambda_patterns.streams.dynamodb_stream import DynamoDbStreamConsumer
from cdk_lambda_patterns.streams.firehose_transform import FirehoseTransform
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer
from cdk_lambda_patterns.streams.log_processor import LogProcessor
from cdk_lambda_patterns.web.alb_function import AlbFunction
from cdk_lambda_patterns.web.direct_invoke import DirectInvoke
from cdk_lambda_patterns.web.function_url import FunctionUrl
from cdk_lambda_patterns.web.http_api import HttpApi, RestApi
from cdk_lambda_patterns.workflow.sync_express import SyncExpressWorkflow

out = Path(sys.argv[1])
# One stack with everything has more resources than CloudFormation allows; it is never deployed.
context = {"aws:cdk:bundling-stacks": [], "@aws-cdk/core:stackResourceLimit": 0}
app = App(context=context, outdir=str(out))
stack = Stack(app, "Everything")
network = PrivateNetwork(stack, "Network")
subscriber = Subscriber(code=pattern_source("messaging", "sns_fifo_fanout"))
smoke_test = SmokeTest(cases=[SmokeCase(name="a parcel", payload={"grams": 1200})])
built = Asset(stack, "Built", path=str(pattern_source("delivery", "cross_account_code")))
quotes = HardenedFunction(stack, "Quotes", code=pattern_source("delivery", "environments"))
notes = HardenedFunction(stack, "Notes", code=pattern_source("web", "alb_function"))
both_apis = dict(code=pattern_source("web", "http_api"), handler="http_api.handler.handler")
signed = HardenedFunction(stack, "Signed", code=pattern_source("web", "function_url"))
todo = HardenedFunction(stack, "Todo", code=pattern_source("solutions", "todo_api"))
posts = HardenedFunction(stack, "Posts", code=pattern_source("solutions", "blog_website"))
finder = HardenedFunction(stack, "Finder", code=pattern_source("solutions", "software_updates"))
charges = HardenedFunction(stack, "Charges", code=pattern_source("web", "direct_invoke"))
reserve = HardenedFunction(stack, "Reserve", code=pattern_source("workflow", "sync_express"))
key = Attribute(name="order", type=AttributeType.STRING)
signing = CodeSigning(stack, "Signing")
shop = Table(stack, "ShopOrders", partition_key=key, stream=StreamViewType.KEYS_ONLY)
bus = EventBus(stack, "Bus")
api = Api(stack, "TracedApi", deploy_options=StageOptions(tracing_enabled=True))
api.root.add_method("GET")
paid = HardenedFunction(stack, "Paid", code=pattern_source("events", "event_bus"))
parcels = HardenedFunction(stack, "Parcels", code=pattern_source("delivery", "provisioned_concurrency"))
steps = LambdaInvoke(stack, "Invoke", lambda_function=reserve)
changes = [StateChanges(pipeline_states=["FAILED"])]
pipeline_code = pattern_source("events", "pipeline_events")
backfill = pattern_source("storage", "batch_operation")
log_code = pattern_source("streams", "log_processor")
viewer = FunctionCode.from_file(
    file_path=str(pattern_source("edge", "cloudfront_functions") / "viewer_response.js")
)
edge_code = pattern_source("edge", "lambda_edge")
at_the_edge = Stack(app, "AtTheEdge", env=Environment(region="us-east-1"))
at_origin = EdgeHook(code=edge_code, handler="lambda_edge.origin.request_handler")
mq_code = pattern_source("messaging", "mq_consumer")
shop_code = pattern_source("observability", "monitoring")
place = HardenedFunction(stack, "Place", code=shop_code, handler="monitoring.handler.place")
hooks = pattern_source("observability", "service_hooks")
alias = "arn:aws:lex:us-east-1:123456789012:bot-alias/COFFEEBOT1/TSTALIASID"
sign_up = Trigger(code=pattern_source("identity", "cognito_triggers"))
made = [
    network,
    quotes,
    HardenedFunction(stack, "Spelling", code=pattern_source("delivery", "layers")),
    Thumbnailer(stack, "Thumbnails"),
    MetadataSync(stack, "Metadata"),
    BatchOperation(stack, "Backfill", code=backfill, source=Bucket(stack, "Archive")),
    AlbFunction(stack, "Front", function=notes),
    DirectInvoke(stack, "Direct", function=charges, alias_name="live"),
    FunctionUrl(stack, "Url", function=signed, auth_type=FunctionUrlAuthType.AWS_IAM),
    HttpApi(stack, "Http", authorization=HttpIamAuthorizer(), function=notes),
    RestApi(stack, "Rest", authorization=AuthorizationType.IAM, **both_apis),
    bus,
    bus.add_function("Rule", paid, event_pattern=EventPattern(source=["shop"])),
    SqsConsumer(stack, "Queue", code=pattern_source("messaging", "sqs_consumer")),
    MqConsumer(stack, "Broker", queue="orders", code=mq_code, network=network),
    DynamoDbStreamConsumer(stack, "Shop", table=shop, code=pattern_source("streams", "dynamodb_stream")),
    KinesisConsumer(stack, "Readings", code=pattern_source("streams", "kinesis_consumer")),
    LogProcessor(stack, "Logs", code=log_code, log_groups=[notes.log_group]),
    FirehoseTransform(stack, "Lines", code=pattern_source("streams", "firehose_transform")),
    SnsFifoFanout(stack, "Events", subscribers={"Mails": subscriber}),
    PipelineEvents(stack, "Changes", code=pipeline_code, changes=changes),
    PipelineAction(stack, "Step", code=pipeline_code, handler="pipeline_events.action.handler"),
    ScheduledFunction(
        stack,
        "Nightly",
        code=pattern_source("events", "scheduled_function"),
        schedule=ScheduleExpression.rate(Duration.hours(1)),
    ),
    HardenedFunction(
        stack,
        "Traced",
        code=pattern_source("observability", "tracing"),
        handler="tracing.front.handler",
    ),
    Tracing(stack, "Traces", stage=api.deployment_stage),
    CodeBucket(stack, "Code"),
    signing,
    SignedFunction(
        stack, "Priced", code=pattern_source("delivery", "cross_account_code"), signing=signing
    ),
    CodeFromBucket(stack, "FromBucket", bucket=built.bucket, key=built.s3_object_key),
    EncryptedEnvironment(stack, "Links", code=pattern_source("delivery", "encrypted_environment")),
    ProfiledFunction(stack, "Profiled", code=pattern_source("observability", "profiling")),
    AsyncFunction(stack, "Async", code=pattern_source("messaging", "async_function")),
    SnsConsumer(stack, "Topic", code=pattern_source("messaging", "sns_consumer")),
    EfsFunction(stack, "Files", code=pattern_source("data", "efs_function"), network=network),
    PrivateFunction(stack, "Orders", code=pattern_source("data", "private_function"), network=network),
    RdsEvents(stack, "Databases", code=pattern_source("data", "rds_events"), sources=[RdsEventSource()]),
    RdsInvokesLambda(
        stack,
        "Pricing",
        database=DatabaseCluster.from_database_cluster_attributes(
            stack, "Cluster", cluster_identifier="orders", engine=DatabaseClusterEngine.AURORA_POSTGRESQL
        ),
        functions=[
            HardenedFunction(stack, "Receiver", code=pattern_source("data", "rds_invokes_lambda")),
        ],
    ),
    RdsProxyFunction(stack, "Bookings", code=pattern_source("data", "rds_proxy"), network=network),
    CanaryAlias(stack, "Live", function=quotes, pre_hook=smoke_test),
    ProvisionedConcurrencyAlias(stack, "Quick", function=parcels, min_capacity=1, max_capacity=1),
    ScratchSpaceFunction(
        stack,
        "Reports",
        code=pattern_source("delivery", "scratch_space"),
        source_bucket=Bucket(stack, "LargeFiles", versioned=True),
    ),
    Environments(stack, "Environments", function=quotes, aliases={"dev": NEWEST}),
    DependenciesLayer(stack, "Layer", code=pattern_source("delivery", "layers") / "dependencies"),
    CustomRuntimeFunction(stack, "Words", code=pattern_source("delivery", "layers") / "cpp"),
    ImageRepository(stack, "Images"),
    ContainerImageFunction(
        stack,
        "Image",
        code=ContainerImageCode.from_image_asset(pattern_source("delivery", "container_image")),
    ),
    LogShippingExtension(stack, "Shipping"),
    CloudFrontFunctions(stack, "Edge", viewer_response=viewer),
    HardenedFunction(stack, "Resizer", code=edge_code, handler="lambda_edge.handler.handler"),
    LambdaEdge(at_the_edge, "Edge", origin_request=at_origin),
    HardenedFunction(stack, "Origin", code=pattern_source("edge", "cloudfront_functions")),
    CustomResourceFunction(stack, "Seed", code=hooks, handler="service_hooks.custom_resource.handler"),
    ConfigFunctionRule(
        stack,
        "Runtimes",
        code=hooks,
        handler="service_hooks.config_rule.handler",
        frequency=MaximumExecutionFrequency.ONE_HOUR,
    ),
    IotRule(
        stack, "Alarms", code=hooks, handler="service_hooks.iot_rule.handler", sql="SELECT * FROM 'sensors/+'"
    ),
    SesInbound(
        stack,
        "Tickets",
        code=hooks,
        screen_handler="service_hooks.ses_inbound.screen",
        handler="service_hooks.ses_inbound.handler",
        recipients=["help@example.com"],
    ),
    LexCodeHook(stack, "Bot", code=hooks, handler="service_hooks.lex.handler", bot_alias_arns=[alias]),
    AlexaSkill(
        stack,
        "Skill",
        code=hooks,
        handler="service_hooks.alexa.handler",
        skill_id="amzn1.ask.skill.4d2f0c8e-6c1b-4b0a-9f62-2a1b7c9d0e11",
    ),
    CognitoTriggers(stack, "Users", pre_sign_up=sign_up),
    SyncExpressWorkflow(stack, "Workflow", definition=steps),
    Monitoring(stack, "Monitoring", patterns=[place]),
]
app.synth()

public = {
    name
    for found in pkgutil.walk_packages(cdk_lambda_patterns.__path__, "cdk_lambda_patterns.")
    for module in [import_module(found.name)]
    for name, member in inspect.getmembers(module, inspect.isclass)
    if issubclass(member, Construct) and member.__module__ == module.__name__ and not name.startswith("_")
}
manifest = json.loads((out / "Everything.assets.json").read_text())
images = [one["source"]["directory"] for one in manifest["dockerImages"].values()]
print(json.dumps({
    "package": cdk_lambda_patterns.__file__,
    "not made": sorted(public - {type(one).__name__ for one in made}),
    "resources": json.loads((out / "Everything.template.json").read_text())["Resources"],
    "assets": [*images, *(one["source"]["path"] for one in manifest["files"].values())],
}))
"""


# Uses the names of the families; two mistakes at the end.
FOREIGN_APP = """\
from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.delivery import NEWEST, CanaryAlias
from cdk_lambda_patterns.storage import MetadataOptions, Thumbnailer

def make(sizes: tuple[int, ...], made: type[Thumbnailer] | type[CanaryAlias]) -> FunctionOptions:
    options: MetadataOptions = MetadataOptions(prefix="a/")
    print(options, NEWEST, HardenedFunction)
    return FunctionOptions(memory_size="512")

from cdk_lambda_patterns.storage import Thumbnailr
"""


def build(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build the wheel and the source distribution of a checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    """The wheel of this checkout."""
    return built[0]


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def files_below(folder: Path, shown_as: str) -> set[str]:
    return {
        f"{shown_as}/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_with_all_handlers_and_nothing_else(wheel: Path) -> None:
    library = files_below(ROOT / "constructs" / PACKAGE, PACKAGE)
    handlers = files_below(ROOT / "lambda_src", f"{PACKAGE}/_lambda_src")
    assert handlers
    assert f"{PACKAGE}/py.typed" in library
    assert {name for name in names_in(wheel) if ".dist-info/" not in name} == library | handlers


def test_the_wheel_requires_only_the_cdk_and_has_its_licence(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    required = {requirement.partition("<")[0] for requirement in metadata.get_all("Requires-Dist", [])}
    assert required == {"aws-cdk-lib", "constructs"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The cdk-lambda-patterns maintainers"
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier", [])
    for wanted in ("Python :: 3.11", "Python :: 3.14", "POSIX :: Linux", "MacOS"):
        assert any(classifier.endswith(wanted) for classifier in classifiers), wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names_in(wheel))


def test_every_link_of_the_long_description_is_absolute_and_leads_to_a_file(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert isinstance(text, str)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    (source,) = [url.partition(", ")[2] for url in metadata.get_all("Project-URL", []) if "Source" in url]
    files = [link for link in links if link.startswith(source)]
    assert len(files) > 10
    for link in files:
        assert (ROOT / link.split("/main/")[1]).exists(), link
    assert all(link.startswith("https://") for link in links), links
    assert f"({source}/raw/main/docs/storage/thumbnailer-run.png)" in text


def test_another_app_sees_the_types_and_gets_the_names_of_a_family(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")  # noqa: S202 - ours
    app = tmp_path / "app.py"
    app.write_text(FOREIGN_APP)
    # The CDK's own types take most of a minute to read, and are not in question here.
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n[mypy-aws_cdk.*]\nfollow_imports = skip\n")
    command = ["mypy", "--no-incremental", "--follow-imports", "silent", "app.py"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.partition(": error: ")[2].rpartition("  [")[2] for line in done.stdout.splitlines()]
    assert found[:-1] == ["arg-type]", "attr-defined]"], done.stdout


def test_the_source_distribution_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, source = built
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path)  # noqa: S202 - ours; Python 3.11.2 knows no filter
    (unpacked,) = tmp_path.iterdir()
    assert not [name for name in files_below(unpacked, "") if "/tests/" in name or name.endswith(".pyc")]
    again, _ = build(unpacked, tmp_path / "dist")
    assert again.read_bytes() == wheel.read_bytes()


def test_stray_files_in_a_checkout_are_not_shipped(wheel: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "hatch_build.py"):
        checkout.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout)
    for name in ("constructs", "lambda_src"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    strays = (
        "lambda_src/storage/stray.pyc",
        f"constructs/{PACKAGE}/__pycache__/x.cpython-311.pyc",
        "tests/test_x.py",
    )
    for name in strays:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).touch()
    again, source = build(checkout, tmp_path / "dist")
    assert again.read_bytes() == wheel.read_bytes()
    with tarfile.open(source) as archive:
        assert not [name for name in archive.getnames() if name.endswith((".pyc", "test_x.py"))]


def environment_with(folder: Path, *what: str) -> Path:
    """Make a virtual environment with what `uv pip install` is to install; return its Python."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", str(folder)], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [*uv, "pip", "install", "--quiet", "--python", str(python), *what]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def link_requirements(wheel: Path, python: Path) -> None:
    """Link what the wheel requires from the packages of these tests, whose modules are compiled."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    names = reachable([Requirement(line) for line in metadata_of(wheel).get_all("Requires-Dist", [])])
    for installed in importlib.metadata.distributions():
        if canonicalize_name(installed.metadata["Name"]) in names:
            for top in {file.parts[0] for file in installed.files or ()} - {".."}:
                if not (packages / top).exists():
                    (packages / top).symlink_to(Path(str(installed.locate_file(top))))


def synthesise_elsewhere(python: Path, folder: Path, **variables: str) -> None:
    """Check that an app in `folder` gets every construct with its handler from the installed wheel."""
    (folder / "app.py").write_text(APP)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "TMPDIR") or "JSII" in name
    }
    done = subprocess.run(
        [str(python), "-I", "app.py", str(folder / "out")],
        cwd=folder,
        env={**kept, **variables, "CDK_VALIDATION": "false"},  # done once, over the catalogue
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    package = Path(seen["package"]).parent
    assert package.is_relative_to(python.parent.parent)
    assert seen["not made"] == [], "APP, above, is to make one of each"
    types = {resource["Type"] for resource in seen["resources"].values()}
    assert {"AWS::S3::Bucket", "AWS::Lambda::Alias", "AWS::RDS::DBProxy", "AWS::SNS::Topic"} <= types
    # Without bundling, a function's asset is the handler's folder as it was installed.
    staged = [folder / "out" / asset for asset in seen["assets"]]
    texts = {handler.read_bytes() for place in staged for handler in place.rglob("handler.py")}
    handlers = sorted(package.glob("_lambda_src/*/*/handler.py"))
    assert handlers
    unused = [handler.parent.name for handler in handlers if handler.read_bytes() not in texts]
    assert unused == [], "APP, above, is to use the handler of each architecture"


def test_an_app_in_another_folder_gets_every_construct_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    python = environment_with(tmp_path / "env", "--no-deps", str(wheel))
    link_requirements(wheel, python)
    synthesise_elsewhere(python, tmp_path)


@pytest.mark.full
def test_the_lowest_versions_that_the_wheel_allows_are_enough(wheel: Path, tmp_path: Path) -> None:
    required = metadata_of(wheel).get_all("Requires-Dist", [])
    python = environment_with(tmp_path / "env", "--resolution", "lowest-direct", str(wheel), *required)
    synthesise_elsewhere(python, tmp_path, JSII_RUNTIME_PACKAGE_CACHE_ROOT=str(tmp_path / "jsii"))
