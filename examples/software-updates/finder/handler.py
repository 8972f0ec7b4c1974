"""A custom resource: the security group that CloudFront makes in a VPC for its VPC origins."""

import time

import boto3

ec2 = boto3.client("ec2")
NAME = "CloudFront-VPCOrigins-Service-SG"


def handler(event, context):
    if event["RequestType"] == "Delete":
        return None
    filters = [
        {"Name": "vpc-id", "Values": [event["ResourceProperties"]["VpcId"]]},
        {"Name": "group-name", "Values": [NAME]},
    ]
    for _ in range(12):  # it may come after the distribution
        if found := ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            return {"PhysicalResourceId": found[0]["GroupId"], "Data": {"Id": found[0]["GroupId"]}}
        time.sleep(5)
    raise LookupError(f"there is no {NAME} in {filters[0]['Values'][0]}")
