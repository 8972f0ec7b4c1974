"""The forms in which a request names a function: name, partial ARN, ARN, each with or without a qualifier.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMS = re.compile(
    r"(arn:aws[a-zA-Z-]*:lambda:)?((?P<region>[a-z]{2,}(-[a-z]+)+-\d):)?((?P<account>\d{12}):)?(function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True)
class FunctionReference:
    """What a request names.

    Args:
        name: The function's name.
        qualifier: The version or alias; empty without one.
        account: The account's id; empty if only the name was given.
        region: The Region; empty if it was not given.
    """

    name: str
    qualifier: str
    account: str
    region: str

    @classmethod
    def parse(cls, text: str) -> FunctionReference | None:
        """Read a name, a partial ARN or an ARN; None if it is none of them."""
        found = _FORMS.fullmatch(text)
        if found is None:
            return None
        return cls(*(found[part] or "" for part in ("name", "qualifier", "account", "region")))

    @property
    def qualified(self) -> str:
        """The name, with the qualifier if there is one."""
        return f"{self.name}:{self.qualifier}" if self.qualifier else self.name

    def arn(self, region: str, account: str) -> str:
        """The ARN, with the Region and the account of the request where none is given."""
        return f"arn:aws:lambda:{self.region or region}:{self.account or account}:function:{self.qualified}"
