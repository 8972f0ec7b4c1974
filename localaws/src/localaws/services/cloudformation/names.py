"""Names that CloudFormation generates differ between accounts and Regions.

The emulator makes them of the names of stack and resource only. Two stacks with one name, in two Regions, had
one role: the deletion of either took it from the other.

Faithful to: no two stacks have a generated name in common, also not that of a global resource (a role, a
bucket).
Not to: the random suffix, which is derived here from account, Region, stack and resource.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners

from localaws.patching import around


@around(provisioners, "_physical_name")
def _physical_name(
    stock: Callable[..., str],
    stack_name: str,
    logical_id: str,
    *,
    lowercase: bool = False,
    max_len: int = 128,
    seeded: bool = True,
) -> Any:
    seed = provisioners._NAME_SEED
    own = seed.get() if seeded else ""
    token = seed.set(f"{get_account_id()}:{get_region()}:{own}")
    try:
        return stock(stack_name, logical_id, lowercase=lowercase, max_len=max_len)
    finally:
        seed.reset(token)
