"""Inline code that answers a custom resource with the module that CloudFormation adds."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.lambda_functions import Functions
from helpers.stacks import arn, deploy, role
from localaws import LocalAws

pytestmark = pytest.mark.local

PYTHON = """
import cfnresponse
def handler(event, context):
    data = {"Said": event["ResourceProperties"]["Say"]}
    cfnresponse.send(event, context, cfnresponse.SUCCESS, data, "own-id")
"""
NODE = """
const response = require('cfn-response');
exports.handler = (event, context) => {
  response.send(event, context, response.SUCCESS, { Said: event.ResourceProperties.Say }, 'own-id');
};
"""


def inline(runtime: str, source: str) -> dict[str, Any]:
    properties = {"Runtime": runtime, "Handler": "index.handler", "Role": arn("Role"), "Timeout": 30}
    return {"Type": "AWS::Lambda::Function", "Properties": {**properties, "Code": {"ZipFile": source}}}


def test_inline_code_of_both_languages_answers_a_custom_resource(local_aws: LocalAws) -> None:
    resources: dict[str, Any] = {"Role": role()}
    outputs: dict[str, Any] = {}
    for name, runtime, source in (("Py", "python3.12", PYTHON), ("Js", "nodejs20.x", NODE)):
        resources[name] = inline(runtime, source)
        properties = {"ServiceToken": arn(name), "Say": f"hello {name}"}
        resources[f"{name}Custom"] = {"Type": "Custom::Said", "Properties": properties}
        outputs[f"{name}Said"] = {"Fn::GetAtt": [f"{name}Custom", "Said"]}
        outputs[f"{name}Id"] = {"Ref": f"{name}Custom"}
    stack = deploy(local_aws, resources, outputs)
    assert stack.outputs == {"PySaid": "hello Py", "JsSaid": "hello Js", "PyId": "own-id", "JsId": "own-id"}
    stack.delete()


@pytest.mark.parametrize("statement", ["from cfnresponse import send", "import json, cfnresponse"])
def test_only_the_exact_statement_adds_the_module(functions: Functions, statement: str) -> None:
    source = f"{statement}\ndef handler(event, context): return 'imported'"
    resources = {"Role": role(), "Function": inline("python3.12", source)}
    stack = deploy(functions.aws, resources, {"Name": {"Ref": "Function"}})
    assert "No module named 'cfnresponse'" in str(functions.invoke(stack.outputs["Name"]).payload)


def test_code_from_an_archive_has_no_such_module(functions: Functions) -> None:
    name = functions.make("import cfnresponse\ndef handler(event, context): return 'imported'")
    assert "No module named 'cfnresponse'" in str(functions.invoke(name).payload)


def test_still_needed_the_emulator_adds_no_module(stock_aws: LocalAws) -> None:
    functions = Functions(stock_aws)
    resources = {"Role": role(), "Function": inline("python3.12", PYTHON)}
    stack = deploy(stock_aws, resources, {"Name": {"Ref": "Function"}})
    assert "No module named 'cfnresponse'" in str(functions.invoke(stack.outputs["Name"]).payload)
