"""Every block of README.md is run, on one server that its own commands start and stop."""

from __future__ import annotations

import re
import shlex
import textwrap
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

from helpers.assemblies import write_assembly
from localaws import LocalAws, cli
from localaws.cdk.cli import find_cli
from localaws.server import outliving

pytestmark = pytest.mark.local
pytest_plugins = ["pytester"]

HOME = str(Path.home())
README = Path(__file__).parents[1] / "README.md"
BLOCKS = {
    text.partition("\n")[0]: text
    for text in re.findall(r"^```\w*\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
}
# By their first lines. What the first one does is in test_distribution.py.
INSTALL = "pip install pytest-localaws aws-cdk-lib"
TEST, HANDLER = "# test_orders.py", "# handler/index.py"
COMMANDS = "localaws start                  # runs until `localaws stop`"
PROGRAM, UNITTEST = "from localaws import LocalAws", "import unittest"
FAULT = 'with local_aws.faults.api("dynamodb", "PutItem", error="ThrottlingException", times=2):'
DELIVERY = 'aws.deliver_as("iot.amazonaws.com", rule_arn, function_arn, {"temperature": 21})'
BROKER = 'with local_aws.with_broker(broker_arn, "amqp://127.0.0.1:5672"):'
CONFTEST = """
import pytest
from localaws import LocalAws

@pytest.fixture(scope="session")
def local_aws():
    return LocalAws.attach()
"""


def test_every_block_is_run() -> None:
    assert set(BLOCKS) == {INSTALL, TEST, HANDLER, COMMANDS, PROGRAM, UNITTEST, FAULT, DELIVERY, BROKER}


def commands() -> list[list[str]]:
    """The words of each command of the block, without `localaws`."""
    lines = [line.partition("#")[0].strip() for line in BLOCKS[COMMANDS].splitlines()]
    whole = " | ".join(re.sub(r'^eval "\$\((.*)\)"$', r"\1", line) for line in lines)
    return [shlex.split(one.removeprefix("localaws ")) for one in whole.split(" | ")]


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs the first command of README.md, and in the end the last one; has the folder of an app."""
    root = tmp_path_factory.mktemp("project")
    (assembly := root / "infra" / "cdk.out").mkdir(parents=True)
    write_assembly(assembly)
    (root / "infra" / "cdk.json").write_text('{"app": "cdk.out"}')
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(root / "state"))
        environment.setenv("LOCALAWS_CDK", str(find_cli()))
        try:
            assert cli.main(commands()[0]) == 0
            yield root
            assert (commands()[-1], cli.main(commands()[-1])) == (["stop"], 0)
        finally:
            outliving.stop("default")


def test_the_test_with_its_fault(
    infra: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "localaws.pytest_plugin")
    monkeypatch.setenv("HOME", HOME)  # where jsii has unpacked the CDK
    pytester.makeconftest(CONFTEST)
    pytester.mkdir("handler").joinpath("index.py").write_text(BLOCKS[HANDLER])
    test = BLOCKS[TEST].replace("_is_stored(deploy)", "_is_stored(deploy, local_aws)")
    pytester.makepyfile(test_orders=test + textwrap.indent(BLOCKS[FAULT], "    "))
    # In a process of its own: jsii looks for `handler` where it was started.
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    LocalAws.attach().reset()


def test_the_commands_unittest_and_the_delivery(
    infra: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(infra)
    monkeypatch.setattr(cli, "_rounds", lambda follow: [None])  # or --follow would wait for ctrl-C
    aws, printed = LocalAws.attach(), dict[str, str]()
    for words in commands()[1:-1]:
        assert cli.main(words) == 0, words
        printed[words[0]] = capsys.readouterr().out
        if words[0] == "deploy":
            ran = unittest.TextTestRunner().run(suite := unittest.TestSuite(_cases()))
            assert (ran.testsRun, ran.wasSuccessful(), suite.countTestCases()) == (1, True, 1)
            _deliver(aws)
    assert "Orders.Table = " in printed["deploy"]
    assert "storing {'only_print': 'o-1'}" in printed["logs"]
    assert "lambda:InvokeFunction" in printed["events"]
    assert "AWS::DynamoDB::Table.ContributorInsightsSpecification" in printed["ignored"]
    assert aws.client("lambda").list_functions()["Functions"] == []


def _cases() -> Iterator[unittest.TestSuite]:
    module = ModuleType("orders")
    _run(BLOCKS[UNITTEST], vars(module))
    yield unittest.defaultTestLoader.loadTestsFromModule(module)


def _deliver(aws: LocalAws) -> None:
    client: Any = aws.client("lambda")
    (function,) = client.list_functions()["Functions"]
    source = f"arn:aws:iot:us-east-1:{function['FunctionArn'].split(':')[4]}:rule/hot"
    permission = {"Action": "lambda:InvokeFunction", "Principal": "iot.amazonaws.com", "SourceArn": source}
    client.add_permission(FunctionName=function["FunctionName"], StatementId="iot", **permission)
    _run(BLOCKS[DELIVERY], {"aws": aws, "rule_arn": source, "function_arn": function["FunctionArn"]})


def test_the_broker(infra: Path) -> None:
    aws, channel = LocalAws.attach(), Mock()
    made = aws.client("mq").create_broker(
        BrokerName="orders",
        EngineType="RABBITMQ",
        HostInstanceType="mq.m7g.medium",
        DeploymentMode="SINGLE_INSTANCE",
        PubliclyAccessible=False,
        Users=[{"Username": "consumer", "Password": "correct horse battery"}],
    )
    arn = made["BrokerArn"]
    _run(BLOCKS[BROKER], {"local_aws": aws, "broker_arn": arn, "channel": channel})
    channel.basic_publish.assert_called_once_with("", "orders", b"...")


def test_the_program(infra: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(BLOCKS[PROGRAM], {})
    assert capsys.readouterr().out == "123456789012\n"


def _run(block: str, names: dict[str, Any]) -> None:
    """Run a block, in which `LocalAws()` is the server that runs already."""
    exec(block.replace("LocalAws()", "LocalAws.attach()"), names)  # noqa: S102 - README.md
