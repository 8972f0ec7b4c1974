"""A GraphQL API with a table as data source, called with an API key.

https://github.com/cdk-patterns/serverless/tree/main/the-simple-graphql-service
https://github.com/aws-samples/aws-cdk-examples/tree/main/python/appsync-graphql-dynamodb
"""

import aws_cdk as cdk
from aws_cdk import aws_appsync as appsync
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct


class GraphqlStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table(
            self,
            "Customers",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        api = appsync.GraphqlApi(
            self,
            "Api",
            name="customers",
            definition=appsync.Definition.from_file("schema.graphql"),
            authorization_config=appsync.AuthorizationConfig(
                default_authorization=appsync.AuthorizationMode(
                    authorization_type=appsync.AuthorizationType.API_KEY
                )
            ),
        )
        source = api.add_dynamo_db_data_source("Customer", table)
        source.create_resolver(
            "All",
            type_name="Query",
            field_name="customers",
            request_mapping_template=appsync.MappingTemplate.dynamo_db_scan_table(),
            response_mapping_template=appsync.MappingTemplate.dynamo_db_result_list(),
        )
        source.create_resolver(
            "Add",
            type_name="Mutation",
            field_name="addCustomer",
            request_mapping_template=appsync.MappingTemplate.dynamo_db_put_item(
                appsync.PrimaryKey.partition("id").auto(), appsync.Values.projecting("customer")
            ),
            response_mapping_template=appsync.MappingTemplate.dynamo_db_result_item(),
        )
        cdk.CfnOutput(self, "Url", value=api.graphql_url)
        cdk.CfnOutput(self, "Key", value=api.api_key)


app = cdk.App()
GraphqlStack(app, "GraphqlStack")
app.synth()
