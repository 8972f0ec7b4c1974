"""CORS of HTTP APIs in templates.

The emulator's CloudFormation handler stores the settings under the names of the template, and the API
reads them under those of its own calls: every preflight is refused, and no answer has a header of CORS.

Faithful to: the settings of a template are those of the API.
Not to: origins with wildcards other than `*`. Without settings, OPTIONS is refused and reaches no route.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

import copy

from ministack.services import apigateway
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, resource

_apis = resource("AWS::ApiGatewayV2::Api")


@_apis.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    made = stock(logical_id, properties, stack)
    _set_cors(made[0], properties)
    return made


@_apis.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    made = stock(physical_id, old, new, stack, logical_id)
    _set_cors(made[0], new)
    return made


def _set_cors(api: str, properties: Properties) -> None:
    if settings := properties.get("CorsConfiguration"):
        given = provisioners._pascal_to_camel(copy.deepcopy(settings))
        if given.get("maxAge") is not None:
            given["maxAge"] = int(given["maxAge"])
        if "allowCredentials" in given:
            given["allowCredentials"] = str(given["allowCredentials"]).lower() == "true"
        apigateway._apis[api]["corsConfiguration"] = given
