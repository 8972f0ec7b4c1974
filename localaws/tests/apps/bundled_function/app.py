"""A function whose packages are installed at synthesis without Docker, by a local bundler.

`PythonFunction` of aws-lambda-python-alpha always needs Docker; this is what the CDK offers without it.
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk/ILocalBundling.html
"""

import shutil
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_lambda as lambda_


@jsii.implements(cdk.ILocalBundling)
class Pip:
    def __init__(self, source: str) -> None:
        self.source = source

    def try_bundle(self, output_dir: str, *args, **kwargs) -> bool:
        shutil.copytree(self.source, output_dir, dirs_exist_ok=True)
        requirements = str(Path(self.source) / "requirements.txt")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", output_dir]
        subprocess.check_call([*install, "--requirement", requirements], stdout=sys.stderr)
        return True


class BundledStack(cdk.Stack):
    def __init__(self, scope, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        runtime = lambda_.Runtime.PYTHON_3_13
        function = lambda_.Function(
            self,
            "Function",
            runtime=runtime,
            handler="index.handler",
            memory_size=256,
            code=lambda_.Code.from_asset(
                "lambda",
                bundling=cdk.BundlingOptions(
                    image=runtime.bundling_image,
                    command=[
                        "bash",
                        "-c",
                        "pip install -r requirements.txt -t /asset-output && cp *.py /asset-output",
                    ],
                    local=Pip("lambda"),
                ),
            ),
        )
        cdk.CfnOutput(self, "FunctionName", value=function.function_name)


app = cdk.App()
BundledStack(app, "BundledStack")
app.synth()
