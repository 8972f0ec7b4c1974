"""SES identities: each exists once, and authorises the mails sent from it. Recipients that are no addresses.

The emulator authorises SendEmail without a resource: only a policy for all identities would allow it. It
also takes any text as the address of a recipient, and creates an identity again that exists.

Faithful to: SendEmail and SendBulkEmail of both APIs, SendRawEmail and the templated calls of the first API
are authorised on the identity that covers the From address: the address itself, or else its nearest domain
that is an identity; or on the identity that the request names by its ARN. SendEmail of the second API refuses
a recipient without a domain. CreateEmailIdentity refuses an identity that exists, whichever API or stack made
it, and a stack fails with it; both APIs delete an identity for both.
Not to: an identity of one API in the answers of the other; configuration sets, templates and, in the sandbox,
recipients as further resources; condition keys; sending authorization policies; the other rules for
addresses; the quota and the maximum rate of sending, whose seconds would depend on the machine.

https://docs.aws.amazon.com/ses/latest/dg/control-user-access.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateEmailIdentity.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ses-emailidentity.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from email.utils import parseaddr
from typing import Any
from urllib.parse import unquote

from ministack.core.iam_actions import _query_param
from ministack.services import ses, ses_v2

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.resources import Request, resource_of

_IDENTITIES = "/v2/email/identities"
_TYPE = "AWS::SES::EmailIdentity"
_SENDING = ("/v2/email/outbound-emails", "/v2/email/outbound-bulk-emails")


@around(ses_v2, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]], method: str, path: str, headers: Any, body: bytes, query_params: Any
) -> Any:
    """Refuse recipients that are no addresses, and identities that exist."""
    place = path.rstrip("/")
    if method == "POST" and place == _SENDING[0] and body:
        destination = json.loads(body).get("Destination") or {}
        recipients = [
            one for kind in ("To", "Cc", "Bcc") for one in destination.get(f"{kind}Addresses") or ()
        ]
        if any("@" not in parseaddr(one)[1] for one in recipients):
            return ses_v2._json_err("BadRequestException", "Missing final '@domain'")
    if method == "POST" and place == _IDENTITIES and body:
        identity = json.loads(body).get("EmailIdentity")
        if identity in _known():
            return ses_v2._json_err("AlreadyExistsException", f"Email identity {identity} already exist.")
    answer = await stock(method, path, headers, body, query_params)
    if method == "DELETE" and answer[0] == 200 and place.startswith(f"{_IDENTITIES}/"):
        ses._identities.pop(unquote(place.removeprefix(f"{_IDENTITIES}/")), None)
    return answer


@around(ses, "_delete_identity")
def _delete_identity(stock: Callable[[Any], Any], params: Any) -> Any:
    answer = stock(params)
    if answer[0] == 200:
        ses_v2._identities.pop(ses._p(params, "Identity"), None)
    return answer


_handlers = resource(_TYPE)


@_handlers.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _check_new(properties)
    return stock(logical_id, properties, stack)


@_handlers.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    if new.get("EmailIdentity") != physical_id:
        _check_new(new)
    return stock(physical_id, old, new, stack, logical_id)


def _check_new(properties: Properties) -> None:
    identity = properties.get("EmailIdentity")
    if identity in _known():
        raise ValueError(f"Resource of type '{_TYPE}' with identifier '{identity}' already exists.")


def _known() -> set[str]:
    """The identities of the account in the Region, of both APIs."""
    return {*ses._identities.keys(), *ses_v2._identities.keys()}


@resource_of("ses")
def _identity(request: Request) -> str | None:
    if request.path.rstrip("/") in _SENDING:
        named, sender = request.member("FromEmailAddressIdentityArn"), request.member("FromEmailAddress")
    elif _query_param(request.query_params, "Action").startswith("Send"):
        named = _query_param(request.query_params, "SourceArn")
        sender = _query_param(request.query_params, "Source")
    else:
        return None
    address = parseaddr(str(sender or ""))[1]
    if named or not address:
        return str(named) if named else None
    return f"arn:aws:ses:{request.region}:{request.account}:identity/{_covering(address)}"


def _covering(address: str) -> str:
    """The identity that covers an address; the address if none does, which SES then rejects."""
    known = _known()
    if address in known:
        return address
    domains = {name.lower(): name for name in known if "@" not in name}
    parents = ses._domain_and_parents(address.rpartition("@")[2].lower())
    return next((domains[domain] for domain in parents if domain in domains), address)
