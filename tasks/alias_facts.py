"""Which versions the aliases of a template point at."""

from collections.abc import Iterator, Mapping
from typing import Any


def targets(resources: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Logical id of the alias, its versions, and logical id of the function, for each alias of a function."""
    for logical_id, resource in resources.items():
        if resource["Type"] == "AWS::Lambda::Alias" and "Ref" in resource["Properties"]["FunctionName"]:
            alias = resource["Properties"]
            words = _words(alias["FunctionVersion"])
            for other in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", []):
                words += f", {_words(other['FunctionVersion'])}: {other['FunctionWeight']:g}"
            yield logical_id, words, alias["FunctionName"]["Ref"]


def _words(version: object) -> str:
    """A version by its number. The one of this template gets its number when it is published."""
    return f"version {version}" if isinstance(version, str) else "newest version"
