"""What a row of the catalogue is: an architecture, whose id names its files in every room.

Only the standard library is imported here: ``run.py`` reads the catalogue before anything is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from constructs import Construct

    from stacks.pattern_stack import PatternStack

Proof = Literal["run", "sent", "synthesised"]


@dataclass(frozen=True)
class Architecture:
    """One row of the catalogue.

    Args:
        id: The name on the command line and of the stack, in kebab-case.
        family: The folder in every room.
        title: The architecture in one line of arrows.
        stack: The class in ``stacks/<family>/<module>.py``.
        shows: What a run of its scenario shows.
        proof: How much of it runs on the embedded AWS. ``"run"``: the source service is emulated, and the
            event takes the documented way. ``"sent"``: its documented event is delivered as that service
            delivers it. ``"synthesised"``: none of it can run there, so it has no scenario.
        exemptions: Places where AWS itself does not allow the architecture (``"anywhere"``: a stage without a
            region; ``"china"``; ``"gov-cloud"``), each with the reason.
    """

    id: str
    family: str
    title: str
    stack: str
    shows: str
    proof: Proof = "run"
    exemptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_scenario(self) -> bool:
        """Whether it can be deployed on the embedded AWS, and a scenario shows what it does."""
        return self.proof != "synthesised"

    @property
    def module(self) -> str:
        """The id in snake_case: the name of the architecture's files."""
        return self.id.replace("-", "_")

    @property
    def has_construct(self) -> bool:
        """Whether it has a construct of its own. A solution is a stack, made of the constructs of others."""
        return self.family != "solutions"

    def make_stack(self, scope: "Construct") -> "PatternStack":
        """Import the stack's module, and nothing of the other architectures, and make the stack."""
        stack_class = getattr(import_module(f"stacks.{self.family}.{self.module}"), self.stack)
        made: PatternStack = stack_class(scope, self)
        return made
