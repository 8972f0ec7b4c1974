"""Revocation of signatures, and of all signatures of a profile since a time.

The emulator has neither.

Faithful to: RevokeSignature of a job and RevokeSigningProfile of a profile's version, which cannot be undone.
A profile is revoked from a time in the past, which a later call can only move back; it signs nothing more.
Jobs and profiles show who revoked them and when; ListSigningJobs filters by it.
Not to: GetRevocationStatus; other Regions; the words of errors.

https://docs.aws.amazon.com/signer/latest/developerguide/revocation.html
https://docs.aws.amazon.com/signer/latest/api/API_RevokeSignature.html
https://docs.aws.amazon.com/signer/latest/api/API_RevokeSigningProfile.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from ministack.services import signer

from localaws.patching import around
from localaws.services.signer.signatures import Claims

Answer = tuple[int, dict[str, str], bytes]

_REVOKE = re.compile(r"/signing-(jobs|profiles)/([^/]+)/revoke/?")
_JSON = {"Content-Type": "application/json"}
_LONGEST_REASON = 500


def is_revoked(claims: Claims) -> bool:
    """Whether a signature was revoked, or its profile before the time of the signature."""
    job = signer._jobs.get(claims.job_arn.rpartition("/")[2]) or {}
    profile = signer._profiles.get(claims.profile_version_arn.split("/")[-2]) or {}
    since = profile.get("revocationRecord", {}).get("revocationEffectiveFrom")
    return "revocationRecord" in job or (
        since is not None
        and profile["profileVersionArn"] == claims.profile_version_arn
        and claims.signed_at >= since
    )


@around(signer, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Answer]],
    method: str,
    path: str,
    headers: dict[str, str],
    body_bytes: bytes,
    query_params: Any,
) -> Answer:
    found = _REVOKE.fullmatch(unquote(path)) if method == "PUT" else None
    if found is None:
        return await stock(method, path, headers, body_bytes, query_params)
    try:
        request = dict(json.loads(body_bytes))
    except (ValueError, TypeError):
        request = {}
    if not 1 <= len(str(request.get("reason") or "")) <= _LONGEST_REASON:
        return _error("ValidationException", f"reason: give 1 to {_LONGEST_REASON} characters.")
    revoke = _revoke_signature if found[1] == "jobs" else _revoke_profile
    return revoke(found[2], request, signer._requested_by(headers))


def _revoke_signature(id: str, request: dict[str, Any], caller: str) -> Answer:
    job = signer._jobs.get(id)
    if job is None:
        return _error("ResourceNotFoundException", f"Signing job {id} not found.", 404)
    if job["status"] != "Succeeded" or "revocationRecord" in job:
        return _error("ValidationException", f"Signing job {id} has no signature that can be revoked.")
    job["revocationRecord"] = {"reason": request["reason"], "revokedAt": signer._now(), "revokedBy": caller}
    return 200, _JSON, b""


def _revoke_profile(name: str, request: dict[str, Any], caller: str) -> Answer:
    profile = signer._profiles.get(name)
    if profile is None or profile["profileVersion"] != request.get("profileVersion"):
        return _error("ResourceNotFoundException", f"Signing profile {name} has no such version.", 404)
    since = request.get("effectiveTime")
    if not isinstance(since, (int, float)) or since > time.time():
        return _error("ValidationException", "effectiveTime: give a time in the past.")
    before = profile.get("revocationRecord", {}).get("revocationEffectiveFrom", since)
    if since > before:
        return _error("ValidationException", "effectiveTime: it can only be moved to an earlier time.")
    profile["status"] = "Revoked"
    profile["revocationRecord"] = {
        "revocationEffectiveFrom": since,
        "revokedAt": signer._now(),
        "revokedBy": caller,
    }
    return 200, _JSON, b""


@around(signer, "_cancel_signing_profile")
def _cancel_signing_profile(stock: Callable[[str], Answer], name: str) -> Answer:
    """Cancel a profile; one that is revoked stays revoked."""
    was_revoked = (signer._profiles.get(name) or {}).get("status") == "Revoked"
    answer = stock(name)
    if was_revoked:
        signer._profiles[name]["status"] = "Revoked"
    return answer


@around(signer, "_list_signing_jobs")
def _list_signing_jobs(stock: Callable[[dict[str, str]], Answer], query: dict[str, str]) -> Answer:
    wanted = str(query.get("isRevoked", "")).lower()
    given = {name: value for name, value in query.items() if name != "isRevoked" or wanted != "true"}
    status, headers, body = stock(given)
    if status >= 400:
        return status, headers, body
    found = json.loads(body)
    for job in found["jobs"]:
        job["isRevoked"] = "revocationRecord" in signer._jobs[job["jobId"]]
    if wanted in ("true", "false"):
        found["jobs"] = [job for job in found["jobs"] if str(job["isRevoked"]).lower() == wanted]
    return status, headers, json.dumps(found).encode()


def _error(code: str, text: str, status: int = 400) -> Answer:
    answer: Answer = signer._error(status, code, text)
    return answer
