"""User pools invoke their triggers as AWS does: when, with which event, and what a failure means."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import cognito as emulator

from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.cognito import triggers

PASSWORD = "Passw0rd!"
SERVICE = "cognito-idp.amazonaws.com"

# Does what the attribute "profile" says, in the trigger that the attribute "nickname" names.
HANDLER = """
import json, time
def handler(event, context):
    user = event["request"]["userAttributes"]
    if user.get("nickname") != event["triggerSource"]:
        return event
    what = user["profile"]
    if what == "echo":
        raise Exception(json.dumps(event))
    if what == "refuse":
        raise ValueError("not allowed here")
    if what == "sleep":
        time.sleep(30)
    if what == "nothing":
        return None
    return json.loads(what)
"""


@dataclass(frozen=True)
class Pool:
    """A user pool with a function as its triggers."""

    functions: Functions
    id: str
    client: str
    function: str

    @property
    def cognito(self) -> Any:
        return self.functions.aws.client("cognito-idp")

    def permit(self, source: str = "") -> str:
        arn = source or self.functions.arn("cognito-idp", f"userpool/{self.id}")
        name = f"s{uuid.uuid4().hex}"
        self.functions.aws.client("lambda").add_permission(
            FunctionName=self.function,
            StatementId=name,
            Action="lambda:InvokeFunction",
            Principal=SERVICE,
            SourceArn=arn,
        )
        return name

    def sign_up(self, trigger: str = "", what: str = "", **more: Any) -> str:
        name, attributes = f"ann-{uuid.uuid4().hex[:6]}", {"nickname": trigger, "profile": what}
        named = [{"Name": key, "Value": value} for key, value in attributes.items() if value]
        self.cognito.sign_up(
            ClientId=self.client, Username=name, Password=PASSWORD, UserAttributes=named, **more
        )
        return name

    def confirm(self, name: str, **more: Any) -> None:
        self.cognito.confirm_sign_up(ClientId=self.client, Username=name, ConfirmationCode="123456", **more)

    def sign_in(self, name: str, **more: Any) -> dict[str, Any]:
        login = {"USERNAME": name, "PASSWORD": PASSWORD}
        answer = self.cognito.initiate_auth(
            ClientId=self.client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=login, **more
        )
        tokens: dict[str, Any] = answer["AuthenticationResult"]
        return tokens

    def user(self, trigger: str = "", what: str = "") -> str:
        """A confirmed user, whom the triggers before sign-in leave alone."""
        name = self.sign_up(trigger, what)
        self.confirm(name)
        return name


def make_pool(functions: Functions, handler: str = HANDLER, timeout: int = 5, **config: Any) -> Pool:
    cognito, function = functions.aws.client("cognito-idp"), functions.make(handler, Timeout=timeout)
    arn = functions.arn("lambda", f"function:{function}")
    names = ("PreSignUp", "PostConfirmation", "PreAuthentication", "PostAuthentication")
    triggers_of = dict.fromkeys(names, arn) | {
        name: {"LambdaArn": arn, "LambdaVersion": value} for name, value in config.items()
    }
    pool = cognito.create_user_pool(PoolName="users", LambdaConfig=triggers_of)["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="web",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        PreventUserExistenceErrors="ENABLED",
    )["UserPoolClient"]["ClientId"]
    return Pool(functions, pool, client, function)


@pytest.fixture(scope="module")
def pool(local_aws: LocalAws) -> Pool:
    made = make_pool(Functions(local_aws), PreTokenGenerationConfig="V2_0")
    made.permit()
    return made


def error_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def event_of(error: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    """The name of the trigger, and the event that it got."""
    code, message = error
    assert code == "UserLambdaValidationException"
    match = re.fullmatch(r"(\w+) failed with error (.*)\.", message)
    assert match, message
    return match[1], json.loads(match[2])


# --- When, and with which event


def test_pre_sign_up_gets_the_attributes_and_the_data_of_the_request(pool: Pool) -> None:
    source, data = "PreSignUp_SignUp", [{"Name": "code", "Value": "42"}]
    trigger, event = event_of(
        error_of(lambda: pool.sign_up(source, "echo", ValidationData=data, ClientMetadata={"from": "web"}))
    )
    name = event.pop("userName")
    assert (trigger, name[:4]) == ("PreSignUp", "ann-")
    assert event == {
        "version": "1",
        "triggerSource": source,
        "region": pool.functions.aws.region,
        "userPoolId": pool.id,
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": pool.client},
        "request": {
            "userAttributes": {"nickname": source, "profile": "echo"},
            "validationData": {"code": "42"},
            "clientMetadata": {"from": "web"},
        },
        "response": {"autoConfirmUser": False, "autoVerifyEmail": False, "autoVerifyPhone": False},
    }
    assert error_of(lambda: pool.confirm(name))[0] == "CodeMismatchException"  # there is no such user


def test_an_administrator_is_refused_too(pool: Pool) -> None:
    source = "PreSignUp_AdminCreateUser"
    attributes = [{"Name": "nickname", "Value": source}, {"Name": "profile", "Value": "echo"}]
    trigger, event = event_of(
        error_of(
            lambda: pool.cognito.admin_create_user(
                UserPoolId=pool.id, Username="bob", UserAttributes=attributes
            )
        )
    )
    assert (trigger, event["triggerSource"], event["userName"]) == ("PreSignUp", source, "bob")
    assert event["callerContext"]["clientId"] == "CLIENT_ID_NOT_APPLICABLE"


@pytest.mark.parametrize("by", ["user", "administrator"])
def test_post_confirmation_fails_after_the_user_was_confirmed(pool: Pool, by: str) -> None:
    source = "PostConfirmation_ConfirmSignUp"
    name = pool.sign_up(source, "echo")
    if by == "user":
        error = error_of(lambda: pool.confirm(name, ClientMetadata={"from": "web"}))
    else:
        error = error_of(lambda: pool.cognito.admin_confirm_sign_up(UserPoolId=pool.id, Username=name))
    trigger, event = event_of(error)
    assert (trigger, event["triggerSource"], event["response"]) == ("PostConfirmation", source, {})
    attributes = event["request"]["userAttributes"]
    assert (attributes["cognito:user_status"], len(attributes["sub"])) == ("CONFIRMED", 36)
    assert event["request"].get("clientMetadata") == ({"from": "web"} if by == "user" else None)
    assert pool.sign_in(name)
    again = error_of(lambda: pool.cognito.admin_confirm_sign_up(UserPoolId=pool.id, Username=name))
    assert again == ("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED")


def test_post_confirmation_follows_a_sign_up_that_is_confirmed_at_once(functions: Functions) -> None:
    handler = """
def handler(event, context):
    if event["triggerSource"].startswith("PostConfirmation"):
        raise Exception(event["triggerSource"])
    event["response"]["autoConfirmUser"] = True
    return event
"""
    made = make_pool(functions, handler)
    made.permit()
    message = "PostConfirmation failed with error PostConfirmation_ConfirmSignUp."
    assert error_of(made.sign_up) == ("UserLambdaValidationException", message)


def test_post_confirmation_follows_a_new_password(pool: Pool) -> None:
    source = "PostConfirmation_ConfirmForgotPassword"
    name = pool.user(source, "echo")
    pool.cognito.forgot_password(ClientId=pool.client, Username=name)
    new = {"ClientId": pool.client, "Username": name, "ConfirmationCode": "654321", "Password": "Passw0rd!!"}
    trigger, event = event_of(error_of(lambda: pool.cognito.confirm_forgot_password(**new)))
    assert (trigger, event["triggerSource"]) == ("PostConfirmation", source)


def test_sign_in_asks_before_the_password_and_before_the_tokens(pool: Pool) -> None:
    name = pool.user("PreAuthentication_Authentication", "echo")
    pre = error_of(lambda: pool.sign_in(name, ClientMetadata={"device": "phone"}))
    trigger, event = event_of(pre)
    assert (trigger, event["request"]["validationData"]) == ("PreAuthentication", {"device": "phone"})
    assert event["request"]["userNotFound"] is False
    name = pool.user("PostAuthentication_Authentication", "echo")
    trigger, event = event_of(error_of(lambda: pool.sign_in(name, ClientMetadata={"device": "phone"})))
    assert (trigger, event["request"]["newDeviceUsed"]) == ("PostAuthentication", False)
    assert "clientMetadata" not in event["request"]  # not that of InitiateAuth
    wrong = {"USERNAME": name, "PASSWORD": "wrong"}
    refused = error_of(
        lambda: pool.cognito.initiate_auth(
            ClientId=pool.client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=wrong
        )
    )
    assert refused[0] == "NotAuthorizedException"


def test_refreshed_tokens_are_no_sign_in(functions: Functions) -> None:
    handler = """
def handler(event, context):
    details = {"claimsToAddOrOverride": {"source": event["triggerSource"]}}
    if event["triggerSource"].startswith("TokenGeneration"):
        event["response"]["claimsAndScopeOverrideDetails"] = {"accessTokenGeneration": details}
    return event
"""
    made = make_pool(functions, handler, PreTokenGenerationConfig="V2_0")
    made.permit()
    tokens = made.sign_in(made.user())
    refresh = {"REFRESH_TOKEN": tokens["RefreshToken"]}
    answer = made.cognito.initiate_auth(
        ClientId=made.client, AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters=refresh
    )
    claims = claims_of(answer["AuthenticationResult"]["AccessToken"])
    assert claims["source"] == "TokenGeneration_RefreshTokens"
    assert claims_of(tokens["AccessToken"])["source"] == "TokenGeneration_Authentication"


@pytest.mark.parametrize(
    ("verifies", "code", "verified"),
    [
        (["email"], True, ["email_verified"]),
        (["email", "phone_number"], True, ["phone_number_verified"]),
        ([], True, []),
        (["email"], False, []),
    ],
)
def test_a_code_verifies_the_address_that_it_was_sent_to(
    functions: Functions, verifies: list[str], code: bool, verified: list[str]
) -> None:
    cognito = functions.aws.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="users", AutoVerifiedAttributes=verifies)["UserPool"]["Id"]
    client = cognito.create_user_pool_client(UserPoolId=pool, ClientName="w")["UserPoolClient"]["ClientId"]
    addresses = {"email": "ann@example.com", "phone_number": "+12065550100"}
    attributes = [{"Name": name, "Value": value} for name, value in addresses.items()]
    cognito.sign_up(ClientId=client, Username="ann", Password=PASSWORD, UserAttributes=attributes)
    if code:
        cognito.confirm_sign_up(ClientId=client, Username="ann", ConfirmationCode="123456")
    else:
        cognito.admin_confirm_sign_up(UserPoolId=pool, Username="ann")
    user = cognito.admin_get_user(UserPoolId=pool, Username="ann")["UserAttributes"]
    assert [one["Name"] for one in user if one["Name"].endswith("_verified")] == verified


# --- Failures


def test_the_message_of_an_error_reaches_the_user(pool: Pool) -> None:
    refused = error_of(lambda: pool.sign_up("PreSignUp_SignUp", "refuse"))
    message = "PreSignUp failed with error not allowed here."
    assert refused == ("UserLambdaValidationException", message)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "Invalid lambda function output : Invalid JSON"),
        ("[]", "Invalid lambda function output : Invalid JSON"),
        ('"text"', "Invalid lambda function output : Invalid JSON"),
        ("{}", "Unrecognizable lambda output"),
        ('{"response": null}', "Unrecognizable lambda output"),
        ('{"response": {"autoVerifyEmail": true}}', "Unrecognizable lambda output"),
        ('{"response": {"autoVerifyPhone": true}}', "Unrecognizable lambda output"),
    ],
)
def test_an_invalid_result_denies_the_sign_up(pool: Pool, what: str, message: str) -> None:
    refused = error_of(lambda: pool.sign_up("PreSignUp_SignUp", what))
    assert refused == ("InvalidLambdaResponseException", message)


@pytest.mark.parametrize(
    "source",
    ["PostConfirmation_ConfirmSignUp", "PostAuthentication_Authentication", "TokenGeneration_Authentication"],
)
def test_an_invalid_result_denies_each_later_step(pool: Pool, source: str) -> None:
    name = pool.sign_up(source, "nothing")

    def confirm_and_sign_in() -> None:
        pool.confirm(name)
        pool.sign_in(name)

    code, _ = error_of(confirm_and_sign_in)
    assert code == "InvalidLambdaResponseException"


def test_a_pool_needs_permission_for_itself(functions: Functions) -> None:
    made = make_pool(functions)
    denied = ("UnexpectedLambdaException", "PreSignUp invocation failed due to error AccessDeniedException.")
    assert error_of(made.sign_up) == denied
    made.permit(functions.arn("cognito-idp", "userpool/another"))
    assert error_of(made.sign_up) == denied
    statement = made.permit()
    name = made.sign_up()
    functions.aws.client("lambda").remove_permission(FunctionName=made.function, StatementId=statement)
    assert error_of(lambda: made.confirm(name))[1].startswith("PostConfirmation invocation failed due to")
    assert error_of(lambda: made.sign_in(name))[1].startswith("PreAuthentication invocation failed due to")


@pytest.mark.parametrize(
    ("config", "trigger"),
    [
        ({"PreSignUp": "arn"}, "PreSignUp"),
        (
            {"PreTokenGenerationConfig": {"LambdaArn": "arn"}, "PreTokenGeneration": "old"},
            "PreTokenGeneration",
        ),
        ({"PreTokenGeneration": "arn"}, "PreTokenGeneration"),
        ({"InboundFederation": {"LambdaArn": "arn", "LambdaVersion": "V1_0"}}, "InboundFederation"),
    ],
)
def test_a_trigger_is_found_in_each_form_of_the_configuration(config: dict[str, Any], trigger: str) -> None:
    assert triggers.function_of({"LambdaConfig": config}, trigger) == "arn"
    assert triggers.function_of({"LambdaConfig": config}, "CustomMessage") is None
    assert triggers.function_of({"LambdaConfig": None}, trigger) is None


def test_a_function_that_has_gone_denies_the_request(functions: Functions) -> None:
    made = make_pool(functions)
    functions.aws.client("lambda").delete_function(FunctionName=made.function)
    message = error_of(made.sign_up)[1]
    assert re.fullmatch(r"\w+ invocation failed due to error AccessDeniedException\.", message)


def test_a_function_that_times_out_denies_the_request(functions: Functions) -> None:
    made = make_pool(functions, timeout=1)
    made.permit()
    code, message = error_of(lambda: made.sign_up("PreSignUp_SignUp", "sleep"))
    assert code == "UserLambdaValidationException"
    assert message.startswith("PreSignUp failed with error ")
    assert message.endswith("Task timed out after 1.00 seconds.")


class Attempts:
    """A function that answers only at an attempt."""

    def __init__(self, answers_at: int, timeout: int = 30) -> None:
        self.answers_at = answers_at
        self.timeouts: list[int] = []
        self.func = {"config": {"Timeout": timeout}}

    def __call__(self, func: dict[str, Any], event: object) -> dict[str, Any]:
        self.timeouts.append(func["config"]["Timeout"])
        if len(self.timeouts) >= self.answers_at:
            return {"body": {"response": {}}}
        message = f"RequestId: 1 Error: Task timed out after {func['config']['Timeout']:.2f} seconds"
        return {"body": {"errorType": "Sandbox.Timedout", "errorMessage": message}, "error": True}


@pytest.mark.parametrize(
    ("answers_at", "timeout", "attempts", "code"),
    [
        (1, 30, [5], None),
        (3, 30, [5, 5, 5], None),
        (4, 30, [5, 5, 5], "UnexpectedLambdaException"),
        (4, 5, [5], "UserLambdaValidationException"),  # the function's own timeout is an answer
        (4, 3, [3], "UserLambdaValidationException"),
    ],
)
def test_a_function_has_five_seconds_and_three_attempts(
    monkeypatch: pytest.MonkeyPatch, answers_at: int, timeout: int, attempts: list[int], code: str | None
) -> None:
    monkeypatch.setattr(triggers, "_check_permission", lambda trigger, pool: None)
    monkeypatch.setattr(emulator, "_get_pool_unscoped", lambda pool_id: {})
    function = Attempts(answers_at, timeout)
    event = {"triggerSource": "PreSignUp_SignUp", "userPoolId": "p", "request": {"userAttributes": {}}}
    token = triggers.request.set({})
    failed = None
    try:
        triggers._execute(function, function.func, event)
    except triggers.TriggerFailed as error:
        failed = error
    finally:
        triggers.request.reset(token)
    assert ((failed.code if failed else None), function.timeouts) == (code, attempts)
    if failed and code == "UnexpectedLambdaException":
        assert failed.message.endswith("due to error Socket timeout while invoking Lambda function.")


# --- Claims

CLAIMS = """
import json
def handler(event, context):
    if event["triggerSource"].startswith("TokenGeneration"):
        claims = {"plan": "pro", "sub": "x", "secret": "y", "event": context.aws_request_id}
        made = {"claimsToAddOrOverride": claims, "claimsToSuppress": ["secret", "iss"]}
        groups = {"groupsToOverride": ["editors"]}
        event["response"] = {
            "claimsOverrideDetails": made | {"groupOverrideDetails": groups},
            "claimsAndScopeOverrideDetails": {
                "idTokenGeneration": made,
                "accessTokenGeneration": made | {
                    "scopesToAdd": ["notes/write"], "scopesToSuppress": ["aws.cognito.signin.user.admin"]},
                "groupOverrideDetails": groups,
            },
        }
    return event
"""


@pytest.mark.parametrize("version", ["V1_0", "V2_0"])
def test_the_claims_of_the_trigger_are_in_the_tokens_of_its_version(
    functions: Functions, version: str
) -> None:
    made = make_pool(functions, CLAIMS, PreTokenGenerationConfig=version)
    made.permit()
    tokens = made.sign_in(made.user())
    id_token, access = claims_of(tokens["IdToken"]), claims_of(tokens["AccessToken"])
    assert (id_token["plan"], id_token["cognito:groups"]) == ("pro", ["editors"])
    assert access["cognito:groups"] == ["editors"]
    for claims in (id_token, access):
        assert len(claims["sub"]) == 36
        assert claims["iss"].endswith(made.id)
        assert "secret" not in claims
    if version == "V1_0":
        assert ("plan" in access, access["scope"]) == (False, "aws.cognito.signin.user.admin")
    else:
        assert (access["plan"], access["scope"]) == ("pro", "notes/write")
        assert access["event"] == id_token["event"]  # one event for both


def test_no_tokens_without_the_trigger_for_them(pool: Pool) -> None:
    name = pool.user("TokenGeneration_Authentication", "echo")
    trigger, event = event_of(error_of(lambda: pool.sign_in(name)))
    assert (trigger, event["version"]) == ("PreTokenGeneration", "2")
    assert event["request"]["userAttributes"]["cognito:user_status"] == "CONFIRMED"
    assert event["request"]["scopes"] == ["aws.cognito.signin.user.admin"]


def test_triggers_that_never_fire_are_reported(empty_aws: LocalAws) -> None:
    function = "arn:aws:lambda:us-east-1:123456789012:function:f"
    senders = {"LambdaArn": function, "LambdaVersion": "V1_0"}
    config = dict.fromkeys(("PreSignUp", "PostConfirmation", "PostAuthentication", "UserMigration"), function)
    pool = {"LambdaConfig": {**config, "CustomEmailSender": senders, "CustomSMSSender": senders}}
    resources = {"Pool": {"Type": "AWS::Cognito::UserPool", "Properties": pool}}
    url = {"Url": {"Value": {"Fn::GetAtt": ["Pool", "ProviderURL"]}}}
    client = empty_aws.client("cloudformation")
    client.create_stack(StackName="users", TemplateBody=json.dumps({"Resources": resources, "Outputs": url}))
    client.get_waiter("stack_create_complete").wait(StackName="users", WaiterConfig={"Delay": 1})
    (stack,) = client.describe_stacks(StackName="users")["Stacks"]
    assert stack["Outputs"][0]["OutputValue"].startswith(
        "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_"
    )
    names = [one.property.removeprefix("LambdaConfig.") for one in empty_aws.dropped_properties()]
    assert names == ["CustomEmailSender", "CustomSMSSender", "UserMigration"]


# --- Still needed


def test_the_emulator_still_fires_no_trigger_after_confirmation(stock_functions: Functions) -> None:
    made = make_pool(stock_functions)
    name = made.sign_up("PostConfirmation_ConfirmSignUp", "refuse")
    made.confirm(name)
