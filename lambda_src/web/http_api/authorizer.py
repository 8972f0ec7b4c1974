"""Bearer token → DynamoDB → an IAM policy for a REST API, or a simple answer for an HTTP API.

API Gateway caches the answer for each token. So the policy covers all methods of the stage that the partner
may call, and not only the one of this request. A simple answer cannot: the HTTP API must have
``$context.routeKey`` among its identity sources, and caches an answer for each route.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

import os
from typing import TYPE_CHECKING, Any

from shared import environment
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client

    from .partners import Partner, Partners

    logger = Logger()
    # API Gateway waits for an authorizer, and the client for both.
    partners = Partners(
        make_quick_client("dynamodb"), environment.read(os.environ, "TABLE_NAME", environment.name)
    )

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class Unauthorized(Exception):
    """API Gateway answers status 401 to an error with exactly this message, and 500 to any other."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Answer whether the partner with this token may call."""
    if event.get("version") == "2.0":
        partner = partners.find(event["identitySource"][0])
        allowed = partner is not None and partner.may(event["requestContext"]["http"]["method"])
        return {"isAuthorized": allowed, "context": {"partner": partner.name if partner else ""}}
    partner = partners.find(event["authorizationToken"])
    if partner is None:
        raise Unauthorized
    return {
        "principalId": partner.name,
        "policyDocument": {"Version": "2012-10-17", "Statement": [_statement(partner, event["methodArn"])]},
        "context": {"partner": partner.name},
    }


def _statement(partner: Partner, method_arn: str) -> dict[str, object]:
    stage = "/".join(method_arn.split("/")[:2])
    return {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": [f"{stage}/{method}/*" for method in partner.methods],
    }
