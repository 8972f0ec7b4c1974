"""Two users with notes of the same names and files in one bucket: neither sees what the other one has."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.solutions.todo_api.drill import drill
from scenarios.solutions.todo_api.users import Files, User, Users, refusal
from scenarios.support.leftovers import in_tables

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "Users", "drill", "leftovers", "run", "smoke"]

# What the embedded AWS accepts but does not emulate, and why the scenario proves its facts all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_NOTE = "/notes/milk"


def run(stack: DeployedStack) -> Outcome:
    """Two users use the API and the bucket, and try what is not theirs.

    Raises:
        ScenarioFailed: A user got too much or too little.
    """
    story = Story("A to-do list for each user", stack.tell)
    with Users(stack) as users:
        ann, ben = users.sign_in("ann"), users.sign_in("ben")
        _check_notes(stack, users, ann, ben, story)
        _check_tokens(users, ann, story)
        with story.timed("cache"):
            _check_cache(stack, users, ann, ben, story)
        _check_files(stack, users, ann, ben, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Use each permission of the function and of the users' role once.

    Raises:
        ScenarioFailed: A call fails.
    """
    with Users(stack) as users:
        user = users.sign_in("kim")
        users.expect(201, user, "PUT", "/notes/smoke", "x")
        users.expect(200, user, "GET", "/notes/smoke")
        users.names(user)
        users.expect(204, user, "DELETE", "/notes/smoke")
        try:
            _use(stack, users.files(user))
        except ClientError as error:
            require(False, f"the user's own files: {error}")


def three_requests(stack: DeployedStack) -> None:
    """Write, read and delete a note."""
    with Users(stack) as users:
        user = users.sign_in("kim")
        users.expect(201, user, "PUT", "/notes/event", "x")
        users.expect(200, user, "GET", "/notes/event")
        users.expect(204, user, "DELETE", "/notes/event")


EVENT = BilledEvent("three requests: a note is written, read and deleted", three_requests)

ROLES: tuple[Covered, ...] = (
    Covered("FunctionName", smoke),
    Covered("UserRoleArn", smoke, function="FunctionName"),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the notes, users, identities and files that a run or a drill left behind."""
    users = stack.client("cognito-idp").list_users(UserPoolId=stack.output("UserPoolId"))["Users"]
    pool = stack.output("IdentityPoolId")
    found = stack.client("cognito-identity").list_identities(IdentityPoolId=pool, MaxResults=60)
    files = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    return [
        *in_tables(stack),
        *(f"user: {user['Username']}" for user in users),
        *(f"identity: {one['IdentityId']}" for one in found["Identities"]),
        *(f"file: {one['Key']}" for one in files),
    ]


def _check_notes(stack: DeployedStack, users: Users, ann: User, ben: User, story: Story) -> None:
    for user, text in ((ann, "of Ann"), (ben, "of Ben")):
        users.expect(201, user, "PUT", _NOTE, text)
    users.expect(201, ann, "PUT", "/notes/bread", "of Ann")
    # The owner is no part of a path: a name that looks like Ann's key is a name among those of Ben.
    for path in ("/notes/bread", f"/notes/{ann.id}%2Fbread"):
        users.expect(404, ben, "DELETE", path)
        users.expect(404, ben, "GET", path)
    seen = {user.id: users.read(user, _NOTE) for user in (ann, ben)}
    require(seen == {ann.id: "of Ann", ben.id: "of Ben"}, f"the notes: {seen}")

    def listed() -> None:
        found = {user.id: sorted(users.names(user)) for user in (ann, ben)}
        if found != {ann.id: ["bread", "milk"], ben.id: ["milk"]}:
            raise NotYet(f"the lists: {found}")

    stack.wait_until(listed, "each list has the notes of its user")  # the index lags slightly behind
    story.fact("notes of another user", 404)
    story.say(
        "Ann and Ben each have a note 'milk'. Ben reads, lists and deletes only his own: 404 for Ann's."
    )


def _check_tokens(users: Users, ann: User, story: Story) -> None:
    header, claims, signature = ann.tokens["IdToken"].split(".")
    changed = {**json.loads(base64.urlsafe_b64decode(claims + "==")), "sub": "another-user"}
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    refused = {
        "no token": "",
        "a token with the id of another user": f"{header}.{forged}.{signature}",
        "a token without signature": f"{header}.{claims}.",
        "an access token, which names no scope of the API": ann.tokens["AccessToken"],
    }
    for token in refused.values():
        users.expect(401, token, "GET", _NOTE)
    story.fact("refused tokens", len(refused))
    story.say(f"401 for {', '.join(refused)}.")


def _check_cache(stack: DeployedStack, users: Users, ann: User, ben: User, story: Story) -> None:
    """The stage caches for a minute, by path and token."""
    attempts = iter(range(1000))

    def check() -> str:
        path = f"/notes/cached-{next(attempts)}"
        for user, text in ((ann, "old"), (ben, "of Ben")):
            users.expect(201, user, "PUT", path, text)
        users.read(ann, path)
        users.expect(204, ann, "PUT", path, "new")
        cached, of_ben = users.read(ann, path), users.read(ben, path)
        require(of_ben == "of Ben", f"Ben got {of_ben!r}, which Ann had asked for")
        if cached != "old":
            raise NotYet("Ann got a fresh response: it had expired, or there is no cache")

        def expired() -> None:
            if users.read(ann, path) != "new":
                raise NotYet("the cached response")

        stack.wait_until(expired, "a fresh response")
        return cached

    story.fact("cached response", stack.wait_until(check, "a cached response"))
    story.say(
        "Ann reads a note, changes it, and reads it again: the second response is from the cache. Ben asks "
        "for the same path, and gets his own note. A minute later Ann's response has expired."
    )


def _check_files(stack: DeployedStack, users: Users, ann: User, ben: User, story: Story) -> None:
    mine, other, bucket = users.files(ann), users.files(ben), stack.output("BucketName")
    _use(stack, other)
    _use(stack, mine)
    theirs = {"Bucket": bucket, "Key": f"{other.identity}/list.txt"}
    row = {"name": {"S": f"{ben.id}/milk"}}
    dynamodb = stack.session.client("dynamodb", **mine.credentials)
    invoke = stack.session.client("lambda", **mine.credentials).invoke
    denied = {
        "read": lambda: mine.client.get_object(**theirs),
        "write": lambda: mine.client.put_object(**theirs, Body=b"x"),
        "delete": lambda: mine.client.delete_object(**theirs),
        "list": lambda: mine.client.list_objects_v2(Bucket=bucket, Prefix=f"{other.identity}/"),
        "list all": lambda: mine.client.list_objects_v2(Bucket=bucket),
        "the row": lambda: dynamodb.get_item(TableName=stack.output("NotesTableName"), Key=row),
        "the function": lambda: invoke(FunctionName=stack.output("FunctionName"), Payload=b"{}"),
    }
    for what, call in denied.items():
        seen = refusal(call)
        require(seen.startswith("AccessDenied"), f"{what}, with the credentials of Ann: {seen or 'allowed'}")
    logins = {stack.output("UserPoolProvider"): ann.tokens["IdToken"]}
    ask = stack.client("cognito-identity").get_credentials_for_identity
    seen = refusal(lambda: ask(IdentityId=other.identity, Logins=logins))
    require(seen == "NotAuthorizedException", f"Ann asked for the credentials of Ben: {seen or 'given'}")
    story.fact("denied calls", len(denied))
    story.say(
        "Ann's credentials write, list, read and delete files below her own prefix. AccessDenied for Ben's "
        "prefix, the list of the bucket, Ben's row in the table, and the function; Ben's credentials are "
        "refused to her token."
    )


def _use(stack: DeployedStack, files: Files) -> None:
    """Write, list, read and delete a file of one's own, and give up an upload."""
    bucket, key = stack.output("BucketName"), f"{files.identity}/list.txt"
    files.client.put_object(Bucket=bucket, Key=key, Body=b"milk")
    listed = files.client.list_objects_v2(Bucket=bucket, Prefix=f"{files.identity}/")["Contents"]
    require([one["Key"] for one in listed] == [key], f"listed: {listed}")
    require(files.client.get_object(Bucket=bucket, Key=key)["Body"].read() == b"milk", "another file")
    files.client.delete_object(Bucket=bucket, Key=key)
    upload = files.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    files.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
