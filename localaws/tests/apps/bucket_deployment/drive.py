import json


def drive(app):
    """The files are in the bucket."""
    s3, bucket = app.client("s3"), app.outputs["BucketName"]
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["config.json", "css/site.css", "error.html", "index.html"]
    style = s3.get_object(Bucket=bucket, Key="css/site.css")
    assert (style["ContentType"], style["CacheControl"]) == ("text/css", "max-age=300")
    config = json.loads(s3.get_object(Bucket=bucket, Key="config.json")["Body"].read())
    assert config == {"region": "us-east-1", "bucket": bucket}
