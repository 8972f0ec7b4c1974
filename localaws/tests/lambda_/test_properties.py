"""Functions have the properties of their template."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions

pytestmark = pytest.mark.local

Properties = dict[str, Any]


class Stack:
    """A stack with one function, deployed from a template."""

    def __init__(self, functions: Functions, role: str) -> None:
        self.client = functions.aws.client("cloudformation")
        self.lambda_ = functions.aws.client("lambda")
        self.role = role
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self.function = f"function-of-{self.name}"

    def template(self, properties: Properties, others: Properties | None = None) -> str:
        """The function with the properties, and other resources."""
        code = {"ZipFile": "def handler(event, context): return 'ran'"}
        defaults = {"FunctionName": self.function, "Role": self.role, "Runtime": "python3.13"}
        everything = {**defaults, "Handler": "index.handler", "Code": code, **properties}
        function = {"Type": "AWS::Lambda::Function", "Properties": everything}
        return json.dumps({"Resources": {"Function": function, **(others or {})}})

    def create(self, properties: Properties, others: Properties | None = None) -> str:
        """Deploy; returns the status, and the reason of a failure."""
        self.client.create_stack(StackName=self.name, TemplateBody=self.template(properties, others))
        return self._status("stack_create_complete")

    def update(self, properties: Properties) -> str:
        """Deploy a change; returns what `create` does."""
        self.client.update_stack(StackName=self.name, TemplateBody=self.template(properties))
        return self._status("stack_update_complete")

    def _status(self, waiter: str) -> str:
        config = {"Delay": 0.05, "MaxAttempts": 200}
        try:
            self.client.get_waiter(waiter).wait(StackName=self.name, WaiterConfig=config)
        except Exception:
            events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
            return " ".join(event.get("ResourceStatusReason", "") for event in events)
        status: str = self.client.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
        return status

    def seen(self) -> Properties:
        """The results of the Get calls."""
        named = {"FunctionName": self.function}
        return {
            **self.lambda_.get_function_configuration(**named),
            **self.lambda_.get_function_concurrency(**named),
            **self.lambda_.get_function_recursion_config(**named),
            **self.lambda_.get_function_code_signing_config(**named),
        }


def code_signing_config(functions: Functions) -> str:
    """One that only warns."""
    profile = functions.arn("signer", "/signing-profiles/ours/0123456789")
    made = functions.aws.client("lambda").create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile]}
    )
    fallback = functions.arn("lambda", f"code-signing-config:csc-{'0' * 17}")  # the emulator makes none
    arn: str = made.get("CodeSigningConfig", {}).get("CodeSigningConfigArn", fallback)
    return arn


def everything(functions: Functions) -> tuple[str, Properties]:
    """A role, and each property that the emulator would drop."""
    queue = functions.queue()
    role = functions.role(("sqs:SendMessage", queue.arn))
    access_point = functions.arn("elasticfilesystem", "access-point/fsap-0123456789abcdef0")
    return role, {
        "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "DeadLetterConfig": {"TargetArn": queue.arn},
        "FileSystemConfigs": [{"Arn": access_point, "LocalMountPath": "/mnt/data"}],
        "KmsKeyArn": functions.aws.client("kms").create_key()["KeyMetadata"]["Arn"],
        "ReservedConcurrentExecutions": 5,
        "RecursiveLoop": "Allow",
        "CodeSigningConfigArn": code_signing_config(functions),
        "DurableConfig": {"ExecutionTimeout": 60},
    }


def test_every_property_arrives(functions: Functions) -> None:
    role, wanted = everything(functions)
    stack = Stack(functions, role)
    assert stack.create(wanted) == "CREATE_COMPLETE"
    seen = stack.seen()
    seen["VpcConfig"] = {name: seen["VpcConfig"][name] for name in wanted["VpcConfig"]}
    seen["KmsKeyArn"] = seen["KMSKeyArn"]
    assert {name: seen.get(name) for name in wanted} == wanted


def test_recorded_properties_without_effect_are_reported(functions: Functions) -> None:
    role, wanted = everything(functions)
    stack = Stack(functions, role)
    stack.create(wanted)
    dropped = {found.property for found in functions.aws.dropped_properties() if found.stack == stack.name}
    assert dropped == {"VpcConfig"}


def test_an_update_changes_and_removes_properties(functions: Functions) -> None:
    role, wanted = everything(functions)
    stack = Stack(functions, role)
    assert stack.create(wanted) == "CREATE_COMPLETE"
    assert stack.update({"ReservedConcurrentExecutions": 7}) == "UPDATE_COMPLETE"
    seen = stack.seen()
    assert seen["ReservedConcurrentExecutions"] == 7
    assert seen["RecursiveLoop"] == "Terminate"
    assert seen["VpcConfig"]["SubnetIds"] == []
    assert not seen.get("KMSKeyArn")
    assert not seen.get("CodeSigningConfigArn")
    assert not {"DeadLetterConfig", "FileSystemConfigs", "DurableConfig"} & seen.keys()


def test_a_versions_provisioned_concurrency_arrives(functions: Functions) -> None:
    stack = Stack(functions, functions.role())
    wanted = {"FunctionName": {"Ref": "Function"}, "ProvisionedConcurrencyConfig": TWO}
    version = {"Type": "AWS::Lambda::Version", "Properties": wanted}
    assert stack.create({}, {"One": version}) == "CREATE_COMPLETE"
    provisioned = stack.lambda_.get_provisioned_concurrency_config(FunctionName=stack.function, Qualifier="1")
    assert provisioned["RequestedProvisionedConcurrentExecutions"] == 2


TWO = {"ProvisionedConcurrentExecutions": 2}


def test_code_that_is_not_in_its_bucket_fails_the_deployment(functions: Functions) -> None:
    functions.aws.client("s3").create_bucket(Bucket="assets")
    stack = Stack(functions, functions.role())
    reason = stack.create({"Code": {"S3Bucket": "assets", "S3Key": "missing.zip"}})
    assert "S3 Error Code: NoSuchKey." in reason
    with pytest.raises(stack.lambda_.exceptions.ResourceNotFoundException):
        stack.lambda_.get_function(FunctionName=stack.function)


def test_inline_code_is_a_module_called_index(functions: Functions) -> None:
    stack = Stack(functions, functions.role())
    assert stack.create({"Handler": "handler.handler"}) == "CREATE_COMPLETE"
    result = functions.invoke(stack.function)
    assert result.payload["errorType"] == "Runtime.ImportModuleError"
    assert "Unable to import module 'handler'" in result.payload["errorMessage"]
    assert stack.update({"Handler": "index.handler"}) == "UPDATE_COMPLETE"
    assert functions.invoke(stack.function).payload == "ran"


def test_inline_code_of_another_runtime_fails_the_deployment(functions: Functions) -> None:
    stack = Stack(functions, functions.role())
    reason = stack.create({"Runtime": "java21", "Handler": "index.handler"})
    assert "ZipFile can only be used with a Runtime of Node.js or Python, not java21" in reason


def test_a_role_that_may_not_send_dead_letters_fails_the_deployment(functions: Functions) -> None:
    stack = Stack(functions, functions.role())
    reason = stack.create({"DeadLetterConfig": {"TargetArn": functions.queue().arn}})
    assert "does not have permissions to call SendMessage on SQS" in reason


def test_still_needed_the_stock_emulator_drops_them(stock_functions: Functions) -> None:
    role, wanted = everything(stock_functions)
    stack = Stack(stock_functions, role)
    assert stack.create(wanted) == "CREATE_COMPLETE"
    seen = stack.seen()
    assert not {"DeadLetterConfig", "FileSystemConfigs", "ReservedConcurrentExecutions"} & seen.keys()
    assert seen["RecursiveLoop"] == "Terminate"


def test_still_needed_the_stock_emulator_makes_up_results_of_functions_without_code(
    stock_functions: Functions,
) -> None:
    stock_functions.aws.client("s3").create_bucket(Bucket="assets")
    stack = Stack(stock_functions, stock_functions.role())
    assert stack.create({"Code": {"S3Bucket": "assets", "S3Key": "missing.zip"}}) == "CREATE_COMPLETE"
    assert stock_functions.invoke(stack.function).payload["statusCode"] == 200


def test_still_needed_the_stock_emulator_names_inline_code_after_the_handler(
    stock_functions: Functions,
) -> None:
    stack = Stack(stock_functions, stock_functions.role())
    assert stack.create({"Handler": "other.handler"}) == "CREATE_COMPLETE"
    assert stock_functions.invoke(stack.function).payload == "ran"
