"""A Node.js function in the template, with the AWS SDK for JavaScript that the runtime has.

https://docs.aws.amazon.com/cdk/v2/guide/hello-world.html
"""

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CODE = """
const { DynamoDBClient, UpdateItemCommand } = require('@aws-sdk/client-dynamodb');
const client = new DynamoDBClient({});
exports.handler = async (event) => {
  console.log('counting', JSON.stringify(event));
  const { Attributes } = await client.send(new UpdateItemCommand({
    TableName: process.env.TABLE, Key: { id: { S: event.id } }, UpdateExpression: 'ADD hits :one',
    ExpressionAttributeValues: { ':one': { N: '1' } }, ReturnValues: 'ALL_NEW',
  }));
  if (event.id === 'bad') throw new RangeError('not this one');
  return { hits: Number(Attributes.hits.N), region: process.env.AWS_REGION };
};
"""


class HelloNodeStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table(
            self,
            "Hits",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.NODEJS_22_X,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
            environment={"TABLE": table.table_name},
            logging_format=lambda_.LoggingFormat.JSON,
        )
        table.grant_read_write_data(function)
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


app = cdk.App()
HelloNodeStack(app, "HelloNodeStack")
app.synth()
