"""Tokens and credentials are stolen: how long they are of use, and what ends it sooner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require, wait_until
from scenarios.solutions.todo_api.users import User, Users, refusal
from scenarios.support.faults import Faults


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """A thief has the tokens of a user, and credentials that were given for them.

    Raises:
        ScenarioFailed: The thief got more than the documented time.
    """
    story = Story("A stolen phone", stack.tell)
    with Users(stack) as users:
        brief = _sign_in_briefly(users)
        _sign_out(stack, users, story)
        _revoke(stack, users, story)
        _expire(users, brief, story)
    return story.outcome()


def _sign_in_briefly(users: Users) -> User:
    """Sign in at an app client whose tokens expire as soon as Cognito allows, which is shortened here."""

    def admitted() -> User:
        user = users.sign_in("ann", "BriefClientId")
        if users.send(user.tokens["IdToken"], "GET", "/notes").status != 200:
            raise NotYet("401: it has expired already")
        return user

    return wait_until(admitted, what="a request with a token that lasts five minutes", timeout=60)


def _expire(users: Users, brief: User, story: Story) -> None:
    def refused() -> None:
        if users.send(brief.tokens["IdToken"], "GET", "/notes").status == 200:
            raise NotYet("200")
        users.expect(401, brief, "GET", "/notes")

    wait_until(refused, what="401 for an expired token", timeout=60)
    story.fact("expired token", 401)
    story.say("A token of five minutes, which are ten seconds here, is admitted, and 401 after that.")


def _sign_out(stack: DeployedStack, users: Users, story: Story) -> None:
    """The API verifies a token by itself; the identity pool asks the user pool."""
    cognito, stolen = stack.client("cognito-idp"), users.sign_in("ben")
    require(refusal(lambda: users.files(stolen)) == "", "a valid token got no credentials")
    cognito.admin_user_global_sign_out(UserPoolId=stack.output("UserPoolId"), Username=stolen.name)
    seen = {
        "refresh": refusal(
            lambda: cognito.initiate_auth(
                ClientId=stack.output("ClientId"),
                AuthFlow="REFRESH_TOKEN_AUTH",
                AuthParameters={"REFRESH_TOKEN": stolen.tokens["RefreshToken"]},
            )
        ),
        "credentials": refusal(lambda: users.files(stolen)),
    }
    require(set(seen.values()) == {"NotAuthorizedException"}, f"after the sign-out: {seen}")
    users.expect(200, stolen, "GET", "/notes")
    story.fact("refused after the sign-out", len(seen))
    story.say(
        "An administrator signs the user out: the refresh token gets no new tokens, and the ID token no new "
        "credentials. The API still admits the ID token until it expires: it does not ask the user pool."
    )


def _revoke(stack: DeployedStack, users: Users, story: Story) -> None:
    """Credentials last an hour. Until then, a policy of the role can deny all that are older than now."""
    user = users.sign_in("kim")
    stolen, bucket = users.files(user), stack.output("BucketName")
    key = f"{stolen.identity}/list.txt"
    stolen.client.put_object(Bucket=bucket, Key=key, Body=b"milk")
    with _sessions_revoked(stack):

        def denied() -> None:
            if refusal(lambda: stolen.client.get_object(Bucket=bucket, Key=key)) != "AccessDenied":
                raise NotYet("the stolen credentials still read")

        def renewed() -> None:
            if refusal(lambda: users.files(user).client.get_object(Bucket=bucket, Key=key)):
                raise NotYet("the new credentials are as old")

        wait_until(denied, what="AccessDenied for the revoked credentials", timeout=60)
        wait_until(renewed, what="a file with new credentials", timeout=60)
    story.fact("revoked credentials", "AccessDenied")
    story.say("Credentials given before a moment are denied by a policy of the role; new ones read the file.")


@contextmanager
def _sessions_revoked(stack: DeployedStack) -> Iterator[None]:
    """What "Revoke active sessions" in the console does.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    """
    iam = stack.client("iam")
    named = {"RoleName": stack.output("UserRoleArn").rpartition("/")[2], "PolicyName": "RevokeOlderSessions"}
    # The time at which credentials were issued has no fractions of a second.
    moment = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    older = {"DateLessThan": {"aws:TokenIssueTime": moment}}
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": older}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam.put_role_policy(**named, PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(**named)
