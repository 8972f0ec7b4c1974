"""A state machine that cooks a pizza: a function, a choice, a pass state with a result, and a failure.

https://github.com/cdk-patterns/serverless/tree/main/the-state-machine
https://github.com/aws-samples/aws-cdk-examples/tree/main/python/stepfunctions
"""

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct


class PizzaStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        check = lambda_.Function(
            self,
            "CheckOrder",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="order.handler",
            code=lambda_.Code.from_asset("lambda"),
        )
        pineapple = sfn.Fail(self, "Pineapple", cause="They asked for pineapple", error="NoPineapple")
        broken = sfn.Pass(self, "Apologise", result=sfn.Result.from_object({"status": "sorry"}))
        served = sns.Topic(self, "Served")
        order = tasks.LambdaInvoke(
            self,
            "Order",
            lambda_function=check,
            payload_response_only=True,
            result_path="$.check",
        )
        order.add_retry(errors=["OvenError"], max_attempts=2, interval=cdk.Duration.seconds(1))
        order.add_catch(broken, errors=["States.ALL"], result_path="$.error")
        tell = tasks.SnsPublish(
            self,
            "Tell",
            topic=served,
            message=sfn.TaskInput.from_json_path_at("$.flavour"),
            result_path="$.sns",
        )
        bake = sfn.Map(self, "Toppings", items_path="$.check.toppings", result_path="$.baked")
        bake.item_processor(sfn.Pass(self, "Put", parameters={"on.$": "$"}))
        definition = order.next(
            sfn.Choice(self, "With pineapple?")
            .when(sfn.Condition.boolean_equals("$.check.pineapple", True), pineapple)
            .otherwise(
                bake.next(sfn.Wait(self, "Bake", time=sfn.WaitTime.duration(cdk.Duration.seconds(1)))).next(
                    tell
                )
            )
        )
        machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(definition),
            timeout=cdk.Duration.minutes(5),
        )
        cdk.CfnOutput(self, "MachineArn", value=machine.state_machine_arn)


app = cdk.App()
PizzaStack(app, "PizzaStack")
app.synth()
