"""The rows of the table in which the hooks of AWS IoT, SES, Lex and Alexa record what they did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet


class Rows:
    """The rows of one run; `close` deletes them.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = f"run{uuid4().hex[:10]}"
        self._stack = stack
        self._table = stack.output("TableName")
        self._ids: set[str] = set()

    def find(self, row_id: str) -> dict[str, str] | None:
        """Return a row, or None if there is none."""
        self._ids.add(row_id)
        answer = self._stack.client("dynamodb").get_item(
            TableName=self._table, Key={"id": {"S": row_id}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return None if item is None else {name: next(iter(value.values())) for name, value in item.items()}

    def wait_for(self, row_id: str) -> dict[str, str]:
        """Wait for a row.

        Raises:
            ScenarioFailed: It does not come in time.
        """

        def check() -> dict[str, str]:
            if (row := self.find(row_id)) is None:
                raise NotYet("none")
            return row

        return self._stack.wait_until(check, f"row {row_id}")

    def close(self) -> None:
        """Delete the rows that were looked for."""
        for row_id in self._ids:
            self._stack.client("dynamodb").delete_item(TableName=self._table, Key={"id": {"S": row_id}})


@contextmanager
def rows_of_run(stack: DeployedStack) -> Iterator[Rows]:
    """Delete the rows of a run when it ends."""
    rows = Rows(stack)
    try:
        yield rows
    finally:
        rows.close()


def arn_of(stack: DeployedStack, output: str) -> str:
    """Return the ARN of the function that an output names."""
    function = stack.client("lambda").get_function_configuration(FunctionName=stack.output(output))
    arn: str = function["FunctionArn"]
    return arn
