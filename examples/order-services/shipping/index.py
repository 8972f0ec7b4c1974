"""The queue of wanted shipments: each is booked or refused once, and the workflow gets the answer."""

import json
import os

import boto3

dynamodb, workflows = boto3.client("dynamodb"), boto3.client("stepfunctions")
MOST_PIECES = 20


def handler(event, context):
    for record in event["Records"]:
        message = json.loads(record["body"])
        state = ship(message["order"], message["quantity"])
        try:
            if state == "booked":
                workflows.send_task_success(taskToken=message["token"], output="{}")
            else:
                workflows.send_task_failure(taskToken=message["token"], error="ShippingRefused")
        except workflows.exceptions.TaskTimedOut:
            pass  # it was answered before


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
