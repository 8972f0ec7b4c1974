"""A database takes the tokens that a function signs; those of the emulator's own functions it does not."""

from __future__ import annotations

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from ministack import app
from ministack.core import lambda_runtime, rds_iam

from localaws.services.rds import iam_tokens as rds_function_tokens

pytestmark = pytest.mark.local

ACCOUNT, REGION = "123456789012", "eu-west-1"
FUNCTION = {
    "FunctionName": "orders",
    "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders",
    "Role": f"arn:aws:iam::{ACCOUNT}:role/orders",
}
HOST = "orders.proxy-abc.eu-west-1.rds.amazonaws.com"


def verified() -> object:
    """What the emulator makes of a token that the function has signed."""
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
    """IAM enforced, in this process, and the emulator as it comes again afterwards."""
    monkeypatch.setattr(app, "AUTH", True)
    monkeypatch.setattr(lambda_runtime, "execution_credentials", lambda_runtime.execution_credentials)


def test_a_token_that_a_function_signed_is_taken() -> None:
    rds_function_tokens.install()
    token = verified()
    assert isinstance(token, rds_iam.VerifiedRdsToken)
    assert token.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/orders/orders"


def test_still_needed_the_emulators_own_functions_sign_tokens_that_are_refused() -> None:
    assert verified() == rds_iam.RdsIamTokenError("InvalidCredentials")
