import json

from helpers.foreign_apps import received


def drive(app):
    """Successes and failures go their ways."""
    sns, sqs, out = app.client("sns"), app.client("sqs"), app.outputs
    sns.publish(TopicArn=out["TopicArn"], Message="please succeed")
    sns.publish(TopicArn=out["TopicArn"], Message="please fail")
    app.client("lambda").invoke(FunctionName="unlucky", InvocationType="Event", Payload=b'{"n": 1}')
    (success,) = app.wait_until(lambda: received(sqs, out["SuccessesUrl"]))
    assert json.loads(success)["detail-type"] == "Lambda Function Invocation Result - Success"
    (failure,) = app.wait_until(lambda: received(sqs, out["FailuresUrl"]))
    assert json.loads(failure)["responsePayload"]["errorMessage"] == "failed as asked"
    assert app.wait_until(lambda: received(sqs, out["DeadUrl"])) == ['{"n": 1}']
