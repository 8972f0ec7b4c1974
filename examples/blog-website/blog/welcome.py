"""A welcome mail for each new subscriber: at most one for each change, whatever is delivered twice.

The table of mails says of each change whether its mail was sent or refused. What stays "sending" is unknown.
"""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

dynamodb = boto3.resource("dynamodb")
mails = dynamodb.Table(os.environ["MAILS"])
# One attempt: a repeated call would send a second mail.
once = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
ses = boto3.client("sesv2", config=once)

# Quotas of the account, of a second or a day: the mail is sent later.
LATER = {"TooManyRequestsException", "LimitExceededException", "ThrottlingException", "Throttling"}


def handler(event, context):
    """Lambda continues with the first change that has to wait; those before it are in the table."""
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
        if error.response["Item"]["state"] == {"S": "sending"}:
            print(f"{change}: an earlier attempt died while it was sending; a person has to look")
        return
    try:
        ses.send_email(
            FromEmailAddress=os.environ["SENDER"],
            Destination={"ToAddresses": [address]},
            Content={"Simple": {"Subject": {"Data": "Welcome"}, "Body": {"Text": {"Data": "Thank you."}}}},
        )
    except (EndpointConnectionError, ConnectTimeoutError):
        mails.delete_item(Key=row)  # SES was not reached
        raise
    except ClientError as error:
        if error.response["Error"]["Code"] in LATER:
            mails.delete_item(Key=row)
            raise
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise  # it may have been sent
        print(f"{change}: refused: {error}")
        set_state(row, "refused")
        return
    set_state(row, "sent")


def set_state(row, state):
    mails.update_item(
        Key=row,
        UpdateExpression="SET #state = :state",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":state": state},
    )
