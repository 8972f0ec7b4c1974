"""Watches the alarms, the topic, the saved queries and the metrics of the shop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scenarios.framework import DeployedStack, NotYet


class Watch:
    """The alarms of the deployed stack, by what they are for.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack, self._began = stack, datetime.now(UTC)
        self._cloudwatch, self._logs = stack.client("cloudwatch"), stack.client("logs")
        #: The names of the alarms by path and kind: "Website: Errors".
        self.names: dict[str, str] = json.loads(stack.output("AlarmNames"))
        self.composite = stack.output("UsersAreHurtAlarmName")
        #: Name and state of each notification so far.
        self.messages: list[tuple[str, str]] = []
        #: When faults began and ended.
        self.faults: list[tuple[float, float]] = []

    def now(self) -> datetime:
        """Return the time, for `went_off_since`."""
        return datetime.now(UTC)

    @contextmanager
    def faulty(self) -> Iterator[ExitStack]:
        """Note when faults begin, and end them with the body."""
        began = time.time()
        with ExitStack() as broken:
            yield broken
        self.faults.append((began, time.time()))

    def states(self) -> dict[str, str]:
        """Return the state of each alarm, and of the composite alarm, by name."""
        found = {}
        for page in self._cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNames=[*self.names.values(), self.composite], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        ):
            for alarm in [*page["MetricAlarms"], *page["CompositeAlarms"]]:
                found[alarm["AlarmName"]] = alarm["StateValue"]
        return found

    def wait_until_quiet(self) -> None:
        """Wait until every alarm is OK.

        Raises:
            ScenarioFailed: One is not in time.
        """

        def check() -> None:
            states = self.states()
            labels = {name: label for label, name in self.names.items()}
            if loud := {labels.get(name, name): state for name, state in states.items() if state != "OK"}:
                raise NotYet(str(loud))

        self._stack.patient.wait_until(check, "every alarm is OK")

    def wait_until_evaluated(self) -> None:
        """Wait until every alarm has been evaluated once more.

        An alarm says when its state changed, but not when it was evaluated. So each gets another state, which
        holds until its next evaluation, and about which it sends no message.
        """
        for name in self.names.values():
            self._cloudwatch.set_alarm_state(
                AlarmName=name, StateValue="INSUFFICIENT_DATA", StateReason="Has it been evaluated?"
            )
        self.wait_until_quiet()

    def went_off_since(self, began: datetime) -> set[str]:
        """Return which alarms have gone off, although they may have ended since."""
        labels, rang = {name: label for label, name in self.names.items()}, set()
        for page in self._cloudwatch.get_paginator("describe_alarm_history").paginate(
            HistoryItemType="StateUpdate", StartDate=began, EndDate=datetime.now(UTC) + timedelta(minutes=1)
        ):
            for item in page["AlarmHistoryItems"]:
                state = json.loads(item["HistoryData"])["newState"]["stateValue"]
                if state == "ALARM" and item["AlarmName"] in labels:
                    rang.add(labels[item["AlarmName"]])
        return rang

    def wait_for(self, expected: set[str], began: datetime, *, meanwhile: Callable[[], object]) -> set[str]:
        """Wait until these alarms have gone off; return all that have.

        Args:
            expected: The alarms.
            began: When the faults began.
            meanwhile: Called between two looks: the load that meets the faults.

        Raises:
            ScenarioFailed: One did not go off in time.
        """

        def check() -> set[str]:
            meanwhile()
            rang = self.went_off_since(began)
            if quiet := expected - rang:
                raise NotYet(f"not yet: {sorted(quiet)}")
            return rang

        return self._stack.patient.wait_until(check, "the alarms go off")

    def wait_for_message(self, alarm: str, state: str) -> tuple[str, str]:
        """Wait until the topic has got the message that an alarm has a state; each is read once.

        Raises:
            ScenarioFailed: It did not arrive in time.
        """
        sqs, url = self._stack.client("sqs"), self._stack.output("NotificationsQueueUrl")

        def check() -> tuple[str, str]:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                sent = json.loads(json.loads(message["Body"])["Message"])
                self.messages.append((sent["AlarmName"], sent["NewStateValue"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if (alarm, state) not in self.messages:
                raise NotYet(f"{self.messages}")
            return alarm, state

        return self._stack.wait_until(check, f"the message that {alarm} is {state}")

    def widgets(self) -> list[dict[str, Any]]:
        """Return the widgets of the dashboard."""
        body = self._cloudwatch.get_dashboard(DashboardName=self._stack.output("DashboardName"))
        widgets: list[dict[str, Any]] = json.loads(body["DashboardBody"])["widgets"]
        return widgets

    def saved_queries(self) -> dict[str, dict[str, Any]]:
        """Return the saved queries by name."""
        prefix = self._stack.output("QueryPrefix")
        found = self._logs.describe_query_definitions(queryDefinitionNamePrefix=prefix)["queryDefinitions"]
        return {one["name"].removeprefix(prefix): one for one in found}

    def saved_query(self, name: str, *, least: int = 0) -> list[dict[str, str]]:
        """Run a saved query on the logs since this run began; wait for at least so many rows.

        Raises:
            ScenarioFailed: There are fewer in time.
        """
        saved = self.saved_queries()[name]

        def check() -> list[dict[str, str]]:
            query = self._logs.start_query(
                logGroupNames=saved["logGroupNames"],
                startTime=int(self._began.timestamp()) - 60,
                endTime=int(time.time()) + 60,
                queryString=saved["queryString"],
            )["queryId"]
            answer = self._logs.get_query_results(queryId=query)
            while answer["status"] in ("Scheduled", "Running"):
                time.sleep(0.5)
                answer = self._logs.get_query_results(queryId=query)
            rows = [{cell["field"]: cell["value"] for cell in row} for row in answer["results"]]
            if len(rows) < least:
                raise NotYet(f"{len(rows)} rows of {least}: {rows}")
            return rows

        return self._stack.wait_until(check, f"the rows of the saved query {name}")

    def save_metrics(self, path: Path) -> Path:
        """Save the metrics in the dashboard since this run began, and when there were faults."""
        queries = []
        for widget in self.widgets():
            for metric in widget["properties"].get("metrics", []):
                if len(metric) > 3 and isinstance(metric[-1], dict):
                    namespace, name, dimension, value = metric[:4]
                    queries.append((namespace, name, dimension, value, metric[-1].get("stat", "Average")))
        end = datetime.now(UTC) + timedelta(seconds=1)
        found = {}
        for number, (namespace, name, dimension, value, stat) in enumerate(dict.fromkeys(queries)):
            result = self._cloudwatch.get_metric_data(
                MetricDataQueries=[
                    {
                        "Id": f"m{number}",
                        "MetricStat": {
                            "Metric": {
                                "Namespace": namespace,
                                "MetricName": name,
                                "Dimensions": [{"Name": dimension, "Value": value}],
                            },
                            "Period": 1,
                            "Stat": stat,
                        },
                    }
                ],
                StartTime=self._began,
                EndTime=end,
                ScanBy="TimestampAscending",
            )["MetricDataResults"][0]
            points = zip((at.timestamp() for at in result["Timestamps"]), result["Values"], strict=True)
            found[f"{value} {name} {stat}"] = [*points]
        path.parent.mkdir(parents=True, exist_ok=True)
        saved = {"began": self._began.timestamp(), "faults": self.faults, "metrics": found}
        path.write_text(json.dumps(saved))
        return path
