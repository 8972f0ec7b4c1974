"""Function ← environment variables, encrypted with a customer managed key; secrets ← Secrets Manager.

Use it where settings must be readable only by those who may use the key, or your organization wants to
disable access in one place. Do not use it for passwords: every reader of the variables has them, and they
change with a deployment only. Give those as ``secrets``, which the function reads when it needs them.
"""

from collections.abc import Mapping
from dataclasses import replace

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.keys import check_key
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import grant_to_identity, grant_use_of_key
from cdk_lambda_patterns.core.regions import check_region


@check_types
class EncryptedEnvironment(Construct):
    """A function whose environment variables only those can read who may use a key.

    It builds the function and, unless you give one, a customer managed key. Lambda encrypts the variables
    when they are deployed, and gives the function's role a grant on the key, with which each new execution
    environment decrypts them. So who deploys needs ``kms:Encrypt`` and ``kms:CreateGrant``; the role of the
    CDK's bootstrap has both. The names and ARNs of ``secrets`` become variables, their values never do.

    Args:
        code: The folder of the function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        environment: Environment variables; with the names and ARNs of the secrets, 4 KB at most.
        secrets: Secrets that the function may read, by the name of the variable that has their ARN: owned,
            from another stack, or imported by the complete ARN.
        key: A symmetric key in the Region of the function, or an alias of one that is known here. Default: a
            new one, which is rotated every year.
        function_options: Settings of the function.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to a new key and the logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, the variables are larger than 4 KB, a name is used twice, the key
            cannot encrypt or is an imported alias, or a secret is in another account or Region, or imported
            without its complete ARN.

    Attributes:
        function (HardenedFunction): The function.
        key (IKey): The key that encrypts its variables.

    Example::

        signing_key = secretsmanager.Secret(self, "SigningKey")
        links = EncryptedEnvironment(
            self, "Links", code="worker",
            environment={"BASE_URL": "https://example.com/pay"}, secrets={"SIGNING_KEY": signing_key},
        )
        links.grant_read_environment(iam.Role(self, "Operator", assumed_by=iam.AccountRootPrincipal()))

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, secretsmanager.ISecret] | None = None,
        key: kms.IKey | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options, secrets = function_options or FunctionOptions(), secrets or {}
        if key is not None and options.environment_encryption is not None:
            raise ValueError("function_options.environment_encryption: key is given as well; give one.")
        key = check_key("key", key) or check_key(
            "function_options.environment_encryption", options.environment_encryption
        )
        reason = "The function may read secrets of its own account and Region"
        given = {f"secrets[{name!r}]": secret for name, secret in secrets.items()}
        check_region(scope, reason, given, in_account=True)
        arns = {name: _arn_of(name, secret) for name, secret in secrets.items()}
        for name in sorted({*(environment or {})} & {*arns}):
            raise ValueError(f"secrets[{name!r}]: environment has that name as well; choose another one.")
        super().__init__(scope, id)

        self.key: kms.IKey = key or kms.Key(
            self,
            "Key",
            description=f"Environment variables of {self.node.path}",
            enable_key_rotation=True,
            removal_policy=removal_policy,
        )
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={**(environment or {}), **arns},
            options=replace(options, environment_encryption=self.key),
            network=network,
            removal_policy=removal_policy,
        )
        role = self.function.execution_role
        for name, secret in secrets.items():
            iam.Grant.add_to_principal(
                grantee=role, actions=["secretsmanager:GetSecretValue"], resource_arns=[arns[name]]
            )
            grant_use_of_key(role, secret.encryption_key, "kms:Decrypt")

    def grant_read_environment(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow to read the function's configuration, its variables in plain text included.

        Without the right to use the key, a reader gets the rest of the configuration and an error in place
        of the variables. The grant is on the function without a qualifier: ask for its configuration, not
        for that of a version or an alias. A role that is imported from another account, or as immutable,
        gets no policy here: a warning says so.

        Args:
            grantee: A role, a user or a group of this account.

        Raises:
            ValueError: The grantee has no identity policy here: an account, a service, an ARN.
        """
        # A statement in the policy of the key would name the function, which needs the key first.
        arn, read = self.function.function_arn, "lambda:GetFunctionConfiguration"
        context = {"StringEquals": {"kms:EncryptionContext:aws:lambda:FunctionArn": arn}}
        reading = grant_to_identity(self, grantee, read, arn, on=self.function.node.path)
        return reading.combine(
            grant_to_identity(
                self,
                grantee,
                "kms:Decrypt",
                self.key.key_arn,
                on=self.key.node.path,
                conditions=context,
            )
        )


def _arn_of(name: str, secret: secretsmanager.ISecret) -> str:
    if secret.secret_full_arn is None:
        raise ValueError(
            f"secrets[{name!r}]={secret.node.path}: it is imported without the complete ARN, which the "
            "function's role needs; import it with Secret.from_secret_complete_arn(...)."
        )
    return secret.secret_full_arn
