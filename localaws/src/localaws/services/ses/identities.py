"""The identity that a mail is sent from, on which SES authorises the sender, and addresses that are none.

The emulator authorises SendEmail without a resource: only a policy for all identities would allow it. It
also takes any text as the address of a recipient.

Faithful to: SendEmail and SendBulkEmail of both APIs, SendRawEmail and the templated calls of the first API
are authorised on the identity that covers the From address: the address itself, or else its nearest domain
that is an identity; or on the identity that the request names by its ARN. SendEmail of the second API refuses
a recipient without a domain.
Not to: configuration sets, templates and, in the sandbox, recipients as further resources; condition keys;
sending authorization policies; the other rules for addresses.

https://docs.aws.amazon.com/ses/latest/dg/control-user-access.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from email.utils import parseaddr
from typing import Any

from ministack.core.iam_actions import _query_param
from ministack.services import ses, ses_v2

from localaws.patching import around
from localaws.services.iam.resources import Request, resource_of

_SENDING = ("/v2/email/outbound-emails", "/v2/email/outbound-bulk-emails")


@around(ses_v2, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]], method: str, path: str, headers: Any, body: bytes, query_params: Any
) -> Any:
    """Refuse recipients that are no addresses."""
    if method == "POST" and path.rstrip("/") == _SENDING[0] and body:
        destination = json.loads(body).get("Destination") or {}
        recipients = [
            one for kind in ("To", "Cc", "Bcc") for one in destination.get(f"{kind}Addresses") or ()
        ]
        if any("@" not in parseaddr(one)[1] for one in recipients):
            return ses_v2._json_err("BadRequestException", "Missing final '@domain'")
    return await stock(method, path, headers, body, query_params)


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
    known = {*ses._identities.keys(), *ses_v2._identities.keys()}
    if address in known:
        return address
    domains = {name.lower(): name for name in known if "@" not in name}
    parents = ses._domain_and_parents(address.rpartition("@")[2].lower())
    return next((domains[domain] for domain in parents if domain in domains), address)
