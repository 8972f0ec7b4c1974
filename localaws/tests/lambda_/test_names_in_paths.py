"""Functions may have names with words of Lambda's paths."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, zipped
from localaws.services.lambda_.names_in_paths import masked

pytestmark = pytest.mark.local

NAMES = ("provisioned-concurrency-Prices", "my-event-invoke-config", "code-signing-configs", "url-shortener")


def make(functions: Functions, name: str) -> None:
    """A function with a name."""
    functions.aws.client("lambda").create_function(
        FunctionName=name,
        Role=functions.role(),
        Code={"ZipFile": zipped({"index.py": "def handler(event, context): return 1"})},
        Runtime="python3.13",
        Handler="index.handler",
    )


@pytest.mark.parametrize("name", [*NAMES, "tags", "account-settings-reader", "event-source-mappings-2"])
def test_it_is_found_by_its_name_and_its_arn(functions: Functions, name: str) -> None:
    make(functions, name)
    client = functions.aws.client("lambda")
    arn = client.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    assert client.get_function_configuration(FunctionName=arn)["FunctionName"] == name
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.publish_version(FunctionName=name)
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    client.delete_function_concurrency(FunctionName=name)
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    client.delete_function(FunctionName=arn)


@pytest.mark.parametrize(
    "path", ["/2015-03-31/functions", "/2015-03-31/functions/a-url/urls", "/2017-03-31/tags/x"]
)
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert masked(path) == path


def test_still_needed_the_emulator_finds_no_such_function(stock_functions: Functions) -> None:
    make(stock_functions, NAMES[0])
    with pytest.raises(ClientError, match="Function not found"):
        stock_functions.aws.client("lambda").get_function(FunctionName=NAMES[0])
