"""Ids of APIs: ten lower-case letters and digits. The emulator's are eight hexadecimal digits.

Faithful to: ids of REST, HTTP and WebSocket APIs, and their names, `ID.execute-api.REGION.amazonaws.com`;
models of templates without a name get one of letters and digits.
Not to: ids of what an API consists of, some of which are shorter on AWS.

https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-call-api.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import re

from ministack.services import apigateway, apigateway_v1

from localaws.identifiers import ALPHANUMERIC, LOWER_CASE, cut_text, identifier
from localaws.patching import Created, Handler, Properties, changes, replaces, resource


@replaces(apigateway, "new_uuid")
def _new_uuid() -> str:
    return cut_text({8: (LOWER_CASE, 10)})


@replaces(apigateway_v1, "_new_id")
def _new_id() -> str:
    return cut_text({8: (LOWER_CASE, 10)}, identifier(LOWER_CASE, 10))


@changes("ministack.app", "_EXECUTE_API_RE")
def _hosts_of_apis(stock: re.Pattern[str]) -> re.Pattern[str]:
    own = stock.pattern.replace("[a-f0-9]{8}", "[a-z0-9]{10}").removesuffix(r"(?::\d+)?$")
    return re.compile(
        own.replace(r"execute-api\.", r"execute-api\.(?:") + r"|[a-z0-9-]+\.amazonaws\.com)(?::\d+)?$"
    )


@resource("AWS::ApiGateway::Model", after=["apigateway.refusals"]).create
def _create_model(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    if not properties.get("Name"):
        properties["Name"] = f"{logical_id}{identifier(ALPHANUMERIC, 12)}"
    return stock(logical_id, properties, stack)
