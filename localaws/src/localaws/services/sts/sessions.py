"""Sessions of roles that STS refuses because of the role.

Faithful to: a session lasts at most as long as the role's MaxSessionDuration, and an hour if a role assumes
another one. The other limits of durations, names, external ids and tags are in STS's model: see
`requests.api`.
Not to: roles that do not trust the caller, who gets this error first.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_update-role-settings.html
"""

from __future__ import annotations

from ministack.core import iam_evaluator
from ministack.services import iam

from localaws.refusals import Parameters, Refusal, refuses

_HOUR = 3600


@refuses("sts", "AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML")
def _duration(request: Parameters) -> Refusal | None:
    wanted = int(request.get("DurationSeconds") or _HOUR)
    parts = str(request.get("RoleArn")).split(":", 5)
    if len(parts) < 6 or wanted <= _HOUR:
        return None
    if ":assumed-role/" in str(iam_evaluator.caller_arn()):
        limit = "exceeds the 1 hour session limit for roles assumed by role chaining."
        return Refusal("ValidationError", f"The requested DurationSeconds {limit}")
    role = iam._roles.get_scoped(parts[4], None, parts[5].rpartition("/")[2]) or {}
    if wanted > int(role.get("MaxSessionDuration") or _HOUR):
        text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        return Refusal("ValidationError", text)
    return None
