"""HTTP request → API Gateway (HTTP API or REST API) → Lambda."""

from cdk_lambda_patterns.web.http_api.http import HttpApi, HttpApiOptions, HttpApiRoute
from cdk_lambda_patterns.web.http_api.rest import RestApi
from cdk_lambda_patterns.web.http_api.rest_options import RestApiMethod, RestApiOptions

__all__ = [
    "HttpApi",
    "HttpApiOptions",
    "HttpApiRoute",
    "RestApi",
    "RestApiMethod",
    "RestApiOptions",
]
