"""Runs the migration of a deployed stack again, which changes nothing."""

from __future__ import annotations

from scenarios.framework import DeployedStack, require


def migrate(stack: DeployedStack, which: str = "") -> None:
    """Run the migration, which connects each time as the owner of the database.

    Args:
        stack: The deployed stack.
        which: What the name of its output starts with.

    Raises:
        ScenarioFailed: It failed.
    """
    answer = stack.client("lambda").invoke(FunctionName=stack.output(f"{which}MigrationName"))
    require("FunctionError" not in answer, f"the migration failed: {answer['Payload'].read().decode()}")
