PARAMETERS = {"Password": "correct-horse"}


def drive(app):
    """Parameters decide what is deployed."""
    assert app.outputs["Days"] == "1"
    assert "PagerArn" not in app.outputs
    app.deploy(parameters={"StageName": "prod", "Delay": "5", "Regions": "eu-north-1,eu-west-3"})
    url = app.outputs["QueueUrl"]
    queue = app.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (queue["DelaySeconds"], queue["KmsMasterKeyId"]) == ("5", "alias/aws/sqs")
    topic = app.client("sns").get_topic_attributes(TopicArn=app.outputs["PagerArn"])["Attributes"]
    assert (app.outputs["Days"], topic["DisplayName"]) == ("14", "eu-north-1")
    (stack,) = app.client("cloudformation").describe_stacks(StackName="ParametersStack")["Stacks"]
    shown = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert shown["Password"] == "****"
    assert shown["Delay"] == "5"
