"""Definition of a state machine → the states that an Express workflow does not support.

Step Functions refuses them when the stack is deployed; here they are found as far as the definition is known.

https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_stepfunctions as sfn

_WAITS = re.compile(r"\.(sync(:\d+)?|waitForTaskToken)$")
_ACTIVITY = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:activity:")
_ACTIVITY_REF = re.compile(r"\w+")  # the logical id of a resource, of which the ARN is Ref


def check_express(argument: str, machine: sfn.StateMachine) -> None:
    """Check that a state machine has only states that an Express workflow supports.

    Args:
        argument: The argument, as the caller wrote it.
        machine: The state machine.

    Raises:
        ValueError: A state waits for a job, a callback or an activity, or is a Distributed Map.
    """
    for name, state in _states(_definition(machine)):
        resource = str(state.get("Resource", "")) if state.get("Type") == "Task" else ""
        processor = state.get("ItemProcessor")
        config = processor.get("ProcessorConfig") if isinstance(processor, dict) else None
        if found := _WAITS.search(resource):
            what = f"uses the pattern {found[0]}"
            advice = "use IntegrationPattern.REQUEST_RESPONSE"
        elif _ACTIVITY.match(resource) or _is_activity(machine, resource):
            what, advice = "waits for an activity", "invoke a function"
        elif isinstance(config, dict) and config.get("Mode") == "DISTRIBUTED":
            what, advice = "is a Distributed Map", "use a Map of the mode INLINE"
        else:
            continue
        raise ValueError(
            f"{argument}: the state {name!r} {what}, which an Express workflow does not support; {advice}, "
            "or do this in a Standard workflow that the Express workflow starts."
        )


def _definition(machine: sfn.StateMachine) -> Any:
    """Return the definition; what is known only at deployment is a word, ``Ref`` the logical id."""
    resource = machine.node.default_child
    assert isinstance(resource, sfn.CfnStateMachine)
    given = Stack.of(machine).resolve(resource.definition_string)
    text = ""
    for part in given["Fn::Join"][1] if isinstance(given, dict) and "Fn::Join" in given else [given]:
        if isinstance(part, str):
            text += part
            continue
        word = str(part.get("Ref", "")) if isinstance(part, dict) else ""
        word = re.sub(r"\W", "", word) or "0"
        in_string = re.sub(r"\\.", "", text).count('"') % 2
        text += word if in_string else f'"{word}"'
    try:
        return json.loads(text)
    except ValueError:  # from a file in S3, or known only at deployment
        return {}


def _states(definition: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find the states, also those in a Map or a Parallel."""
    states = definition.get("States") if isinstance(definition, dict) else None
    for name, state in states.items() if isinstance(states, dict) else ():
        if not isinstance(state, dict):
            continue
        yield name, state
        branches = state.get("Branches")
        inner = branches if isinstance(branches, list) else []
        for one in (*inner, state.get("ItemProcessor"), state.get("Iterator")):
            yield from _states(one)


def _is_activity(machine: sfn.StateMachine, resource: str) -> bool:
    """Whether a resource is the logical id of an activity of the app."""
    if not _ACTIVITY_REF.fullmatch(resource):
        return False  # the usual case: an ARN
    made = (one for one in machine.node.root.node.find_all() if isinstance(one, sfn.CfnActivity))
    return any(Stack.of(one).resolve(one.ref).get("Ref") == resource for one in made)
