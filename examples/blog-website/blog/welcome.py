"""A welcome mail for each new subscriber: at most one for each change, whatever is delivered twice."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

dynamodb = boto3.resource("dynamodb")
mails = dynamodb.Table(os.environ["MAILS"])
# One attempt: a repeated call would send a second mail.
once = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
ses = boto3.client("sesv2", config=once)


def handler(event, context):
    """The first change that failed is where Lambda continues; those that were mailed are in the table."""
    for record in event["Records"]:
        try:
            welcome(record["eventID"], record["dynamodb"]["Keys"]["email"]["S"])
        except Exception as error:
            print(f"{record['eventID']}: {type(error).__name__}: {error}")
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def welcome(change, address):
    row = {"change": change}
    try:
        mails.put_item(
            Item={**row, "address": address, "state": "sending"},
            ConditionExpression="attribute_not_exists(change)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.meta.client.exceptions.ConditionalCheckFailedException as error:
        if error.response["Item"]["state"] == {"S": "sent"}:
            return
        raise RuntimeError("an earlier attempt died while it was sending; a person has to look") from None
    try:
        ses.send_email(
            FromEmailAddress=os.environ["SENDER"],
            Destination={"ToAddresses": [address]},
            Content={"Simple": {"Subject": {"Data": "Welcome"}, "Body": {"Text": {"Data": "Thank you."}}}},
        )
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:  # it was not sent
            mails.delete_item(Key=row)
        raise
    mails.update_item(
        Key=row,
        UpdateExpression="SET #state = :sent",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":sent": "sent"},
    )
