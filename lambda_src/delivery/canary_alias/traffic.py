"""What an alias and the numbers of a version say about a release, and which versions nobody needs now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from releases import ReleaseFailed


@dataclass(frozen=True)
class Numbers:
    """What Lambda counted of one version."""

    invocations: int
    errors: int

    @property
    def error_percentage(self) -> float:
        """How many of its calls failed; 0 if there was none."""
        return 100 * self.errors / self.invocations if self.invocations else 0.0


def check_alias(alias: Mapping[str, Any], target_version: str) -> None:
    """Check that an alias leads to one version alone.

    Args:
        alias: What GetAlias answered.
        target_version: The version.

    Raises:
        ReleaseFailed: It leads elsewhere, for some callers or all.
    """
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    if alias["FunctionVersion"] != target_version or weights:
        raise ReleaseFailed(
            f"the alias should point at version {target_version} alone",
            points_at=alias["FunctionVersion"],
            weights=weights,
        )


def check_numbers(numbers: Numbers, error_percentage: float) -> None:
    """Check that a version did not fail more often than allowed.

    Raises:
        ReleaseFailed: It did.
    """
    if numbers.error_percentage > error_percentage:
        raise ReleaseFailed(
            f"{numbers.error_percentage:.3g} % of the calls of the new version failed, and "
            f"{error_percentage:g} % are allowed",
            invocations=numbers.invocations,
            errors=numbers.errors,
        )


def prunable(
    versions: Sequence[str], aliases: Sequence[Mapping[str, Any]], released: str, kept: int
) -> list[str]:
    """Which versions can be deleted, oldest first.

    Args:
        versions: Every version of the function.
        aliases: Every alias of the function. What one of them points at, for any share of its callers, stays.
        released: The version that was released now. Newer ones stay, too: somebody is about to use them.
        kept: How many of the older ones stay, the newest; at least one, which a rollback goes back to.
    """
    older = sorted(int(one) for one in versions if one != "$LATEST" and int(one) < int(released))
    used = {str(alias["FunctionVersion"]) for alias in aliases}
    for alias in aliases:
        used |= set((alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {})
    return [str(number) for number in older[: -max(kept, 1)] if str(number) not in used]
