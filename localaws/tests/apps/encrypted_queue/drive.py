def drive(app):
    """A message passes through all that is encrypted."""
    app.client("sns").publish(TopicArn=app.outputs["TopicArn"], Message="secret order")
    s3, bucket = app.client("s3"), app.outputs["BucketName"]
    (stored,) = app.wait_until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"))
    found = s3.get_object(Bucket=bucket, Key=stored["Key"])
    assert found["Body"].read() == b"secret order"
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", app.outputs["KeyArn"])
