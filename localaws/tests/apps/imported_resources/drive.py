import json

BUCKET = "existing-bucket-of-123456789012"


def prepare(client):
    """Make what the app imports, as another team did before."""
    client("s3").create_bucket(Bucket=BUCKET)
    client("sqs").create_queue(QueueName="existing-queue")
    client("dynamodb").create_table(
        TableName="existing-table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    client("iam").create_role(RoleName="existing-role", AssumeRolePolicyDocument=trust)


def drive(app):
    """The app uses what exists."""
    client = app.client
    url = client("sqs").get_queue_url(QueueName="existing-queue")["QueueUrl"]
    client("s3").put_object(Bucket=BUCKET, Key="an-object", Body=b"x")
    client("sqs").send_message(QueueUrl=url, MessageBody="a-message")

    def both():
        found = client("dynamodb").scan(TableName="existing-table")["Items"]
        assert sorted(item["id"]["S"] for item in found) == ["a-message", "an-object"]
        return True

    app.wait_until(both)
