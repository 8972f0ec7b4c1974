def drive(app):
    """Tags and aspects arrive."""
    out = app.outputs
    everywhere = {"stage": "test", "team": "web", "cost-centre": "4711"}

    def plain(tags):
        return {each["Key"]: each["Value"] for each in tags if not each["Key"].startswith("aws:")}

    s3 = app.client("s3")
    assert plain(s3.get_bucket_tagging(Bucket=out["BucketName"])["TagSet"]) == everywhere
    assert s3.get_bucket_versioning(Bucket=out["BucketName"])["Status"] == "Enabled"
    queue = app.client("sqs").list_queue_tags(QueueUrl=out["QueueUrl"])["Tags"]
    assert plain([{"Key": k, "Value": v} for k, v in queue.items()]) == everywhere | {"team": "messaging"}
    topic = app.client("sns").list_tags_for_resource(ResourceArn=out["TopicArn"])["Tags"]
    table = app.client("dynamodb").list_tags_of_resource(ResourceArn=out["TableArn"])["Tags"]
    function = app.client("lambda").list_tags(Resource=out["FunctionArn"])["Tags"]
    assert plain(topic) == plain(table) == {"stage": "test", "team": "web"}
    assert plain([{"Key": k, "Value": v} for k, v in function.items()]) == everywhere
