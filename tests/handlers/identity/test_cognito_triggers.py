"""The handlers of the triggers, with the events that AWS documents, and DynamoDB by moto."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

REGION = "eu-west-1"
SUB = "0b0a57c5-f013-426a-81a1-f8ffbfba21f0"
ANN = {"sub": SUB, "email": "ann@Example.com", "email_verified": "true", "cognito:user_status": "CONFIRMED"}


def event(source: str, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """An event with the documented common parameters.

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
    """
    return {
        "version": "2" if source.startswith("TokenGeneration") else "1",
        "triggerSource": source,
        "region": REGION,
        "userPoolId": f"{REGION}_AbCdEfGhI",
        "userName": SUB,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "1example23456789"},
        "request": request,
        "response": response,
    }


def sign_up_event(email: object, source: str = "PreSignUp_SignUp") -> dict[str, Any]:
    attributes = {} if email is None else {"email": email}
    request = {"userAttributes": attributes, "validationData": {}, "clientMetadata": {"from": "web"}}
    flags = dict.fromkeys(("autoConfirmUser", "autoVerifyEmail", "autoVerifyPhone"), False)
    return event(source, request, flags)


def confirmation(source: str = "PostConfirmation_ConfirmSignUp", **attributes: str) -> dict[str, Any]:
    return event(source, {"userAttributes": {**ANN, **attributes}, "clientMetadata": {"from": "web"}}, {})


def login() -> dict[str, Any]:
    request = {"userAttributes": ANN, "newDeviceUsed": False}
    return event("PostAuthentication_Authentication", request, {})


def token_event(source: str = "TokenGeneration_Authentication", **attributes: str) -> dict[str, Any]:
    request = {
        "userAttributes": {**ANN, **attributes},
        "groupConfiguration": {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": None},
        "scopes": ["aws.cognito.signin.user.admin"],
    }
    return event(source, request, {"claimsAndScopeOverrideDetails": None})


# --- Pre sign-up


@pytest.fixture(scope="module")
def sign_up() -> ModuleType:
    return import_handler(
        "identity.cognito_triggers.sign_up", {"ALLOWED_DOMAINS": "example.com, Example.ORG"}
    )


@pytest.mark.parametrize("email", ["ann@example.com", "Ann+1@EXAMPLE.com", '"a@b"@example.org'])
@pytest.mark.parametrize("source", ["PreSignUp_SignUp", "PreSignUp_ExternalProvider"])
def test_an_address_of_an_allowed_domain_may_sign_up(sign_up: ModuleType, email: str, source: str) -> None:
    given = sign_up_event(email, source)
    assert sign_up.handler(copy.deepcopy(given), None) == given


@pytest.mark.parametrize(
    ("email", "message"),
    [
        ("eve@example.net", "Addresses of example.net cannot sign up here"),
        ("eve@sub.example.com", "Addresses of sub.example.com cannot sign up here"),
        ("eve@example.com.evil.net", "Addresses of example.com.evil.net cannot sign up here"),
        ("eve@example.com@evil.net", "Addresses of evil.net cannot sign up here"),
        ("example.com", "Sign up with an email address"),
        ("@example.com", "Sign up with an email address"),
        ("eve@", "Sign up with an email address"),
        ("", "Sign up with an email address"),
        (None, "Sign up with an email address"),
    ],
)
def test_any_other_address_is_refused_with_a_text_for_the_user(
    sign_up: ModuleType, email: str | None, message: str
) -> None:
    with pytest.raises(sign_up.SignUpRefused, match=f"^{message}$"):
        sign_up.handler(sign_up_event(email), None)


@pytest.mark.parametrize("email", ["eve@example.net", None])
def test_an_administrator_may_create_any_user(sign_up: ModuleType, email: str | None) -> None:
    given = sign_up_event(email, "PreSignUp_AdminCreateUser")
    assert sign_up.handler(copy.deepcopy(given), None) == given


@pytest.mark.parametrize("domains", ["", ",", "example.com,", "@example.com", "com"])
def test_a_list_that_is_not_one_of_domains_is_refused_at_the_start(domains: str) -> None:
    with pytest.raises(ValueError, match=r"ALLOWED_DOMAINS=.*: give domains separated by commas"):
        import_handler("identity.cognito_triggers.sign_up", {"ALLOWED_DOMAINS": domains})


# --- Profiles and claims


@dataclass
class Pool:
    """The handler's module and its table."""

    module: ModuleType
    table: Any

    def profiles(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.table.scan()["Items"]
        return items

    def break_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let each call of DynamoDB fail with an error that no user should see."""

        def fail(*args: object, **more: object) -> None:
            error: Any = {"Code": "AccessDeniedException", "Message": "role/secret may not"}
            raise ClientError({"Error": error}, "Call")

        for name in ("create", "record_login", "plan_of"):
            monkeypatch.setattr(self.module._profiles, name, fail)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        table = make_table(boto3.resource("dynamodb", region_name=REGION), "profiles", "user_id")
        environment = {"TABLE_NAME": "profiles", "AWS_DEFAULT_REGION": REGION}
        yield Pool(import_handler("identity.cognito_triggers.handler", environment), table)


def test_a_confirmed_user_gets_one_profile(pool: Pool) -> None:
    given = confirmation()
    assert pool.module.post_confirmation(copy.deepcopy(given), None) == given
    (profile,) = pool.profiles()
    assert profile.pop("created_at").endswith("+00:00")
    assert profile == {"user_id": SUB, "email": "ann@Example.com", "plan": "free"}


def test_a_repeated_event_changes_nothing(pool: Pool) -> None:
    pool.module.post_confirmation(confirmation(), None)
    pool.table.update_item(Key={"user_id": SUB}, AttributeUpdates={"plan": {"Value": "pro", "Action": "PUT"}})
    before = pool.profiles()
    pool.module.post_confirmation(confirmation(email="other@example.com"), None)
    assert pool.profiles() == before


def test_a_new_password_creates_no_profile(pool: Pool) -> None:
    given = confirmation("PostConfirmation_ConfirmForgotPassword")
    assert pool.module.post_confirmation(copy.deepcopy(given), None) == given
    assert pool.profiles() == []


def test_each_login_is_recorded(pool: Pool) -> None:
    pool.module.post_confirmation(confirmation(), None)
    given = login()
    assert pool.module.post_authentication(copy.deepcopy(given), None) == given
    (first,) = pool.profiles()
    pool.module.post_authentication(login(), None)
    (second,) = pool.profiles()
    assert second.pop("last_login") >= first.pop("last_login")
    assert second == first


def test_a_login_creates_a_missing_profile(pool: Pool) -> None:
    pool.module.post_authentication(login(), None)
    (profile,) = pool.profiles()
    assert profile["created_at"] == profile["last_login"]
    assert (profile["plan"], profile["email"]) == ("free", "ann@Example.com")
    pool.module.post_confirmation(confirmation(), None)
    assert pool.profiles() == [profile]


@pytest.mark.parametrize("source", ["TokenGeneration_Authentication", "TokenGeneration_RefreshTokens"])
def test_both_tokens_get_the_plan_and_the_tenant(pool: Pool, source: str) -> None:
    pool.table.put_item(Item={"user_id": SUB, "plan": "pro"})
    given = token_event(source)
    answer = pool.module.pre_token_generation(copy.deepcopy(given), None)
    added = {"claimsToAddOrOverride": {"plan": "pro", "tenant": "example.com"}}
    details = {"idTokenGeneration": added, "accessTokenGeneration": added}
    assert answer == {**given, "response": {"claimsAndScopeOverrideDetails": details}}


def test_an_unverified_address_proves_no_tenant(pool: Pool) -> None:
    answer = pool.module.pre_token_generation(token_event(email_verified="false"), None)
    details = answer["response"]["claimsAndScopeOverrideDetails"]
    assert details["accessTokenGeneration"]["claimsToAddOrOverride"] == {"plan": "free"}


# --- When DynamoDB fails


def test_a_login_is_not_denied_because_it_cannot_be_recorded(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool.break_down(monkeypatch)
    given = login()
    assert pool.module.post_authentication(copy.deepcopy(given), None) == given
    assert "login not recorded" in caplog.text


@pytest.mark.parametrize(
    ("handler", "given", "message"),
    [
        ("post_confirmation", confirmation(), "You can sign in now, but your profile is not ready yet"),
        ("pre_token_generation", token_event(), "Signing in is not possible at the moment, try again later"),
    ],
)
def test_the_user_sees_no_internal_error(
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    handler: str,
    given: dict[str, Any],
    message: str,
) -> None:
    pool.break_down(monkeypatch)
    with pytest.raises(pool.module.TryAgainLater, match=f"^{message}$"):
        getattr(pool.module, handler)(given, None)
    assert "role/secret may not" in caplog.text


def test_calls_end_within_the_five_seconds_of_cognito(pool: Pool) -> None:
    config = pool.module._profiles._dynamodb.meta.config
    attempts, pause = config.retries["total_max_attempts"], 1
    assert attempts * (config.connect_timeout + config.read_timeout) + (attempts - 1) * pause < 5
