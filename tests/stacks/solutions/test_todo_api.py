"""The stack of the to-do list: each method asks for a user, and the cache and the role know which one."""

from __future__ import annotations

from tests.templates import Assembly


def test_every_method_asks_for_a_user(catalogue: Assembly) -> None:
    methods = catalogue.stacks["todo-api"].all("AWS::ApiGateway::Method").values()
    assert {one["AuthorizationType"] for one in methods} == {"COGNITO_USER_POOLS"}


def test_the_key_of_the_cache_holds_the_token(catalogue: Assembly) -> None:
    methods = catalogue.stacks["todo-api"].all("AWS::ApiGateway::Method").values()
    keys = [
        one["Integration"]["CacheKeyParameters"]
        for one in methods
        if one["Integration"].get("CacheKeyParameters")
    ]
    assert keys == [["method.request.path.name", "method.request.header.Authorization"]]


def test_users_have_their_own_prefix_and_nothing_else(catalogue: Assembly) -> None:
    stack = catalogue.stacks["todo-api"]
    (policy,) = [
        one
        for name, one in stack.all("AWS::IAM::Policy").items()
        if name.startswith("IdentitiesAuthenticatedRole")
    ]
    objects, listing = policy["PolicyDocument"]["Statement"]
    own = "${cognito-identity.amazonaws.com:sub}"
    assert objects["Resource"]["Fn::Join"][1][-1] == f"/{own}/*"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": f"{own}/*"}}
