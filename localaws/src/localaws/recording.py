"""What a deployment asked for and nobody read: the result type of `LocalAws.dropped_properties`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Dropped:
    """One property of one resource that was accepted and then never looked at.

    Attributes:
        stack: Name of the stack.
        logical_id: Logical id of the resource in its template.
        type: The resource's CloudFormation type, such as `AWS::Lambda::Function`.
        property: The property's path, such as `DeadLetterConfig` or `SSESpecification.KMSMasterKeyId`.
    """

    stack: str
    logical_id: str
    type: str
    property: str

    def __str__(self) -> str:
        """The name that people and lists of accepted properties use: `TYPE.Property`."""
        return f"{self.type}.{self.property}"
