"""IAM authentication tokens that a function signs are valid; without the bridge they are not."""

from __future__ import annotations

import functools

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack import app
from ministack.core import lambda_runtime, rds_iam

from localaws.services.rds import iam_tokens

pytestmark = pytest.mark.local

ACCOUNT, REGION = "123456789012", "eu-west-1"
FUNCTION = {
    "FunctionName": "orders",
    "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders",
    "Role": f"arn:aws:iam::{ACCOUNT}:role/orders",
}
HOST = "orders.proxy-abc.eu-west-1.rds.amazonaws.com"


def verified() -> object:
    """The emulator's verification of a token that the function has signed."""
    given = lambda_runtime.execution_credentials(FUNCTION)
    credentials = Credentials(
        given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], given["AWS_SESSION_TOKEN"]
    )
    request = AWSRequest("GET", f"https://{HOST}:5432/?Action=connect&DBUser=writer")
    SigV4QueryAuth(credentials, "rds-db", REGION, expires=900).add_auth(request)
    return rds_iam.verify_rds_iam_token(
        str(request.url).removeprefix("https://"),
        hostname=HOST,
        port=5432,
        db_user="writer",
        region=REGION,
        account_id=ACCOUNT,
    )


@pytest.fixture(autouse=True)
def _with_iam(monkeypatch: pytest.MonkeyPatch) -> None:
    """IAM is enforced in this process."""
    monkeypatch.setattr(app, "AUTH", True)


def test_a_token_that_a_function_signed_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    bridged = functools.partial(iam_tokens._execution_credentials, lambda_runtime.execution_credentials)
    monkeypatch.setattr(lambda_runtime, "execution_credentials", bridged)
    token = verified()
    assert isinstance(token, rds_iam.VerifiedRdsToken)
    assert token.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/orders/orders"


def test_still_needed_tokens_of_the_emulators_functions_are_refused() -> None:
    assert verified() == rds_iam.RdsIamTokenError("InvalidCredentials")
