from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def drive(app):
    """One url is public and the other needs the role."""
    public, private = app.outputs["PublicUrl"], app.outputs["PrivateUrl"]
    answer = app.request(
        "POST", f"{public}a/b", json_body={"n": 1}, headers={"Origin": "https://example.com"}
    )
    assert answer.json() == {"method": "POST", "path": "/a/b", "body": '{"n": 1}'}
    assert answer.header("access-control-allow-origin") == "https://example.com"
    assert app.request("GET", private).status == 403
    role = app.client("sts").assume_role(RoleArn=app.outputs["CallerArn"], RoleSessionName="test")[
        "Credentials"
    ]
    credentials = Credentials(role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])
    request = AWSRequest("GET", private)
    SigV4Auth(credentials, "lambda", app.client("lambda").meta.region_name).add_auth(request)
    assert app.request("GET", private, headers=dict(request.headers)).json()["method"] == "GET"
