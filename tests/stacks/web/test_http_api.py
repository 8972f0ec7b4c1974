"""The stack of both APIs: nothing in it is open, and only its own paths invoke the function."""

from __future__ import annotations

from tests.templates import Assembly


def test_no_route_and_no_method_is_open(catalogue: Assembly) -> None:
    stack = catalogue.stacks["http-api"]
    routes = stack.all("AWS::ApiGatewayV2::Route").values()
    assert {one["AuthorizationType"] for one in routes} == {"JWT", "AWS_IAM", "CUSTOM"}
    methods = stack.all("AWS::ApiGateway::Method").values()
    assert {one["AuthorizationType"] for one in methods} == {"CUSTOM"}


def test_the_simple_answer_of_the_authorizer_is_cached_for_each_route(catalogue: Assembly) -> None:
    authorizer = catalogue.stacks["http-api"].only("AWS::ApiGatewayV2::Authorizer", AuthorizerType="REQUEST")
    assert authorizer["EnableSimpleResponses"] is True
    assert authorizer["IdentitySource"] == ["$request.header.Authorization", "$context.routeKey"]
