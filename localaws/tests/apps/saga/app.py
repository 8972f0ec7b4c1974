"""A saga: bookings that are cancelled in reverse order when a later one fails.

https://github.com/cdk-patterns/serverless/tree/main/the-saga-stepfunction
"""

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct


class SagaStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        table = dynamodb.Table(
            self,
            "Bookings",
            partition_key=dynamodb.Attribute(name="trip", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="kind", type=dynamodb.AttributeType.STRING),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )

        def task(kind: str, action: str) -> tasks.LambdaInvoke:
            function = lambda_.Function(
                self,
                f"{action}{kind}",
                runtime=lambda_.Runtime.PYTHON_3_13,
                handler=f"bookings.{action.lower()}",
                code=lambda_.Code.from_asset("lambda"),
                environment={"TABLE": table.table_name, "KIND": kind.lower()},
            )
            table.grant_read_write_data(function)
            path = f"$.{action}{kind}Result"
            return tasks.LambdaInvoke(self, f"{action} {kind}", lambda_function=function, result_path=path)

        failed = sfn.Fail(self, "Sorry, the trip is cancelled", error="TripCancelled")
        undo = failed
        steps = []
        for kind in ("Hotel", "Flight"):
            undo = task(kind, "Cancel").add_retry(max_attempts=3).next(undo)
            steps.append(task(kind, "Book").add_catch(undo, result_path=f"$.{kind}Error"))
        paid = sfn.Succeed(self, "Trip booked", output_path="$.trip")
        machine = sfn.StateMachine(
            self,
            "Saga",
            definition_body=sfn.DefinitionBody.from_chainable(
                sfn.Chain.start(steps[0]).next(steps[1]).next(paid)
            ),
        )
        start = lambda_.Function(
            self,
            "Start",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="bookings.start",
            code=lambda_.Code.from_asset("lambda"),
            environment={"MACHINE": machine.state_machine_arn},
        )
        machine.grant_start_execution(start)
        apigateway.LambdaRestApi(self, "Api", handler=start)
        cdk.CfnOutput(self, "TableName", value=table.table_name)


app = cdk.App()
SagaStack(app, "the-saga")
app.synth()
