"""The queue of wanted shipments: each is booked or refused once, and the workflow gets the answer.

A message may come when the workflow waits no more, as after a redrive: then nothing is booked.
"""

import json
import os
from contextlib import suppress

import boto3

dynamodb, workflows = boto3.client("dynamodb"), boto3.client("stepfunctions")
MOST_PIECES = 20


def handler(event, context):
    for record in event["Records"]:
        message = json.loads(record["body"])
        with suppress(workflows.exceptions.TaskTimedOut):  # it was answered before
            workflows.send_task_heartbeat(taskToken=message["token"])
            if message["action"] == "cancel":
                cancel(message["order"])
            elif ship(message["order"], message["quantity"]) != "booked":
                workflows.send_task_failure(taskToken=message["token"], error="ShippingRefused")
                continue
            workflows.send_task_success(taskToken=message["token"], output="{}")


def cancel(order):
    item = {"order": {"S": order}, "state": {"S": "cancelled"}}
    dynamodb.put_item(TableName=os.environ["SHIPMENTS"], Item=item)


def ship(order, quantity):
    state = "booked" if quantity <= MOST_PIECES else "refused"
    try:
        dynamodb.put_item(
            TableName=os.environ["SHIPMENTS"],
            Item={"order": {"S": order}, "state": {"S": state}},
            ConditionExpression="attribute_not_exists(#order)",
            ExpressionAttributeNames={"#order": "order"},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as known:
        return known.response["Item"]["state"]["S"]
    return state
