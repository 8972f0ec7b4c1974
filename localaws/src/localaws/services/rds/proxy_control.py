"""What a proxy reads from its account: settings, secrets and permissions; and its metrics and log.

`rds.proxies` passes it to the proxies.

Faithful to: the proxy reads secrets with its own role, which RDS must be allowed to assume, and uses the
secret whose `username` is the client's database role. An IAM token must be signed for the proxy's address
with credentials that may `rds-db:connect` to this proxy as this role, and is valid for 15 minutes. Metrics in
`AWS/RDS` by `ProxyName`, and a log group of the proxy. With `DefaultAuthScheme=IAM_AUTH`, the proxy logs in
with IAM as users without a secret: its role needs `rds-db:connect` to the database as the user, the database
needs IAM authentication, and the user must have been granted `rds_iam`.
Not to: KMS keys of secrets. Metrics are also published within a second of a change, not only every minute.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-setup.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-migration.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.monitoring.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, cast

from ministack.core import iam_evaluator, rds_iam
from ministack.core.responses import request_scope
from ministack.services import cloudwatch, cloudwatch_logs, rds, secretsmanager

from localaws.engines.rds_proxy.settings import Credentials, Settings
from localaws.services.iam.denials import record
from localaws.services.iam.roles import iam_is_enforced, role_allows, role_trusts
from localaws.services.rds.databases import Database
from localaws.services.rds.instances import database_of

Record = dict[str, Any]


class AccountControl:
    """The account of a proxy.

    Args:
        record: The proxy's record in the emulator's RDS, which its API changes.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        _, _, _, self._region, self._account, _, self._resource_id = record["DBProxyArn"].split(":", 6)

    def settings(self) -> Settings:
        """The current settings of the proxy."""
        record, pool = self._record, self._record["TargetGroup"]["ConnectionPoolConfig"]
        database = self._database()
        allowed = database.max_connections * int(pool["MaxConnectionsPercent"]) // 100 if database else 0
        return Settings(
            socket=database.socket if database else None,
            max_connections=max(1, allowed),
            borrow_timeout=float(pool["ConnectionBorrowTimeout"]),
            idle_timeout=float(record["IdleClientTimeout"]),
            require_tls=bool(record["RequireTLS"]),
            init_query=pool.get("InitQuery", ""),
        )

    def credentials(self, role: str) -> Credentials | None:
        """The credentials in the first secret of the role that the proxy may read, else those by IAM."""
        for entry in self._record["Auth"]:
            secret = self._secret(entry.get("SecretArn", ""))
            if secret.get("username") == role and "password" in secret:
                return Credentials(secret["password"], entry.get("IAMAuth", "DISABLED"))
        return Credentials(None, "REQUIRED") if self._logs_in_by_iam(role) else None

    def _logs_in_by_iam(self, role: str) -> bool:
        """Whether the proxy may log in to the database as a role with IAM."""
        target = self._target() if self._record.get("DefaultAuthScheme") == "IAM_AUTH" else None
        if target is None or target.get("IAMDatabaseAuthenticationEnabled") is not True:
            return False
        database = target.get("DbClusterResourceId") or target["DbiResourceId"]
        user = f"arn:aws:rds-db:{self._region}:{self._account}:dbuser:{database}/{role}"
        proxy = self._record["RoleArn"]
        with request_scope(self._account, self._region):
            return role_trusts(proxy, "rds.amazonaws.com") and role_allows(proxy, "rds-db:connect", user)

    def has_credentials(self) -> bool:
        """Whether the proxy may read a secret with which it can log in to the database."""
        return self._record.get("DefaultAuthScheme") == "IAM_AUTH" or any(
            {"username", "password"} <= set(self._secret(each["SecretArn"])) for each in self._record["Auth"]
        )

    def admits(self, role: str, token: str, host: str, port: int) -> bool:
        """Whether the signer of the token may connect to this proxy as the role."""
        if not iam_is_enforced():
            return True
        scope = {"region": self._region, "account_id": self._account}
        with request_scope(self._account, self._region):
            signer = rds_iam.verify_rds_iam_token(token, hostname=host, port=port, db_user=role, **scope)
            if isinstance(signer, rds_iam.RdsIamTokenError):
                self.log(f"The token of {role} was refused: {signer.code}.")
                return False
            principal = iam_evaluator.resolve_principal(signer.access_key_id, self._account)
            if isinstance(principal, iam_evaluator.AuthError):
                return False
            return principal.policies is None or self._allows(principal, role)

    def _allows(self, principal: Any, role: str) -> bool:
        request = iam_evaluator.EvalContext(
            principal_arn=principal.arn,
            principal_type=principal.type,
            principal_account=principal.account,
            principal_keys=principal.keys,
            action="rds-db:connect",
            resource_arn=f"arn:aws:rds-db:{self._region}:{self._account}:dbuser:{self._resource_id}/{role}",
            region=self._region,
            secure_transport=True,
        )
        answer = iam_evaluator.evaluate(request, principal.policies, *principal.limits)
        if answer.decision != "Allow":
            record(request)
            self.log(f"{principal.arn} may not rds-db:connect to {request.resource_arn}.")
        return bool(answer.decision == "Allow")

    def log(self, message: str) -> None:
        """Write a line to the log group of the proxy."""
        group, stream = f"/aws/rds/proxy/{self._record['DBProxyName']}", self._resource_id
        with request_scope(self._account, self._region):
            if group not in cloudwatch_logs._log_groups:
                cloudwatch_logs._create_log_group({"logGroupName": group})
            names = {"logGroupName": group, "logStreamName": stream}
            cloudwatch_logs._create_log_stream(names)  # refused if it exists
            event = {"timestamp": int(time.time() * 1000), "message": message}
            cloudwatch_logs._put_log_events({**names, "logEvents": [event]})

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Publish metrics of the proxy."""
        dimensions = {"ProxyName": self._record["DBProxyName"]}
        with request_scope(self._account, self._region):
            for name, value in metrics.items():
                cloudwatch.record_metric("AWS/RDS", name, value, "Count", dimensions)

    def _database(self) -> Database | None:
        target = self._target()
        return None if target is None else database_of(target)

    def _target(self) -> Record | None:
        """The record of the instance or cluster behind the proxy."""
        for target in self._record["Targets"]:
            store = rds._instances if target["Type"] == "RDS_INSTANCE" else rds._clusters
            record = store.get_scoped(self._account, self._region, target["RdsResourceId"])
            if record is not None:
                return cast(Record, record)
        return None

    def _secret(self, arn: str) -> Record:
        """The current content of a secret, if the proxy's role may read it."""
        role = self._record["RoleArn"]
        with request_scope(self._account, self._region):
            if not (
                role_trusts(role, "rds.amazonaws.com")
                and role_allows(role, "secretsmanager:GetSecretValue", arn)
            ):
                return {}
            _, secret = secretsmanager._resolve(arn)
            if not secret or secret.get("DeletedDate"):
                return {}
            _, version = secretsmanager._find_stage_version(secret, "AWSCURRENT")
        try:
            content = json.loads((version or {}).get("SecretString") or "{}")
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}
