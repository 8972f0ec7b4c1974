"""`LocalAws`: starts and stops a server, and provides what its clients need."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
import re
import secrets
import ssl
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from localaws.cdk.apps import DEFAULT_QUALIFIER, App, Target, synthesise, targets
from localaws.cdk.cli import CdkError, CommandLine, find_cli, with_python
from localaws.cdk.deployment import Deployment
from localaws.countries import COUNTRIES
from localaws.explanations import Explanation
from localaws.faults import Faults
from localaws.journal import Call, Denied, Used
from localaws.recorder import Dropped
from localaws.server import addresses, bootstrap, outliving
from localaws.server.addresses import Address
from localaws.server.child import Child, LocalAwsError
from localaws.server.credentials import CONTROL, SECRET_HEADER, derived, root_secret
from localaws.server.delivery import Delivered, InvocationType, outcome_of, request_to_deliver
from localaws.server.environment import client_environment
from localaws.server.outliving import Running
from localaws.server.protocol import Options, Ready
from localaws.usage import Usage

if TYPE_CHECKING:
    import boto3

# As in botocore's list of partitions.
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d+")

# What the CLI prints of each stack that it has deployed, or that had no changes.
_DEPLOYED = re.compile(r"Stack ARN:\s+arn:[^:]+:cloudformation:[^:]+:\d+:stack/([^/]+)/")


def _deployed(
    said: str, names: Sequence[str], written: Mapping[str, dict[str, str]]
) -> dict[str, dict[str, str]]:
    """The outputs of the stacks that the CLI deployed, in the order of the app: the CLI's differs by run.

    Args:
        said: What the CLI printed.
        names: The stacks of the app.
        written: The outputs, of the stacks that have any.
    """
    found = dict.fromkeys(_DEPLOYED.findall(said))
    return {name: written.get(name, {}) for name in (*names, *found) if name in found}


class LocalAws:
    """An AWS account on this machine, for the duration of the `with` block.

    Args:
        bridges: Whether to add what the emulator lacks.
        iam: Whether to enforce policies.
        account: The account's id, 12 digits.
        region: The region.
        account_concurrency: How many concurrent executions of functions an account has in a Region. By
            default 1,000, or what `LOCALAWS_ACCOUNT_CONCURRENCY` says.
        state_dir: The folder for the private folder of the server, which is removed at the end. By default
            the system's folder for temporary files.
        log_file: The log of the server, which is not removed. By default a file in the private folder.

    Attributes:
        account: The account's id.
        region: The region.

    Example::

        with LocalAws() as aws:
            aws.client("s3").create_bucket(Bucket="photos")
    """

    def __init__(
        self,
        *,
        bridges: bool = True,
        iam: bool = True,
        account: str = "123456789012",
        region: str = "us-east-1",
        account_concurrency: int | None = None,
        state_dir: Path | None = None,
        log_file: Path | None = None,
    ) -> None:
        _check_account(account)
        _check_region(region)
        for name, value in {"bridges": bridges, "iam": iam}.items():
            if not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}: give True or False")
        if account_concurrency is not None:
            _check_account_concurrency(account_concurrency)
        if state_dir and not Path(state_dir).is_dir():
            raise ValueError(f"state_dir={str(state_dir)!r}: the folder does not exist; create it first")
        self.account = account
        self.region = region
        self._options = Options(
            account=account,
            region=region,
            access_key_id=f"AKIA{secrets.token_hex(8).upper()}",
            secret=secrets.token_hex(32),
            bridges=bridges,
            iam=iam,
            account_concurrency=account_concurrency,
            state_dir=str(state_dir or tempfile.gettempdir()),  # the server does not see our TMPDIR
            log_file=str(Path(log_file).absolute()) if log_file else None,
        )
        self._child: Child | Running | None = None

    @classmethod
    def attach(cls, name: str = "default") -> Self:
        """Return the embedded AWS that `localaws start` has started. `stop()` leaves it running.

        Args:
            name: Its name.

        Raises:
            LocalAwsError: It does not run.
        """
        found = outliving.find(name)
        if found is None:
            raise LocalAwsError(f"The embedded AWS {name!r} does not run: start it with `localaws start`")
        aws = cls(account=found.options.account, region=found.options.region)
        aws._options, aws._child = found.options, found
        return aws

    def as_running(self) -> dict[str, Any]:
        """What another process needs to `attach`, with the secret."""
        return {"options": asdict(self._options), "ready": asdict(self._ready)}

    def __enter__(self) -> Self:
        return self if isinstance(self._child, Running) else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the server and wait until it is ready.

        Raises:
            LocalAwsError: It did not start; the message has the end of its log.
        """
        if self._child:
            raise LocalAwsError("start(): this embedded AWS is already running; call stop() first")
        if self._options.log_file:
            log = Path(self._options.log_file)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.open("a").close()  # here, where the error reaches the caller instead of an older log
        self._child = Child(self._options)
        return self

    def wait(self) -> None:
        """Wait until the server ends, or for ctrl-C.

        Raises:
            LocalAwsError: It has ended; the message has the end of its log.
        """
        self._running.wait()

    def stop(self) -> None:
        """Stop the server and all its processes, and remove its folder. Does nothing if it is not running."""
        child, self._child = self._child, None
        for name in ("session", "environment", "_clients"):
            self.__dict__.pop(name, None)
        if child:
            child.stop()

    @property
    def _running(self) -> Child | Running:
        if not self._child:
            raise LocalAwsError("The embedded AWS is not running: use `with LocalAws() as aws:` or start()")
        return self._child

    @property
    def _ready(self) -> Ready:
        return self._running.ready

    @property
    def endpoint_url(self) -> str:
        """The endpoint URL of every service."""
        return f"https://127.0.0.1:{self._ready.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that clients must trust, as a PEM file."""
        return Path(self._ready.authority)

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return Path(self._ready.log_file)

    @functools.cached_property
    def session(self) -> boto3.Session:
        """A boto3 session with administrator credentials; its clients need no other arguments."""
        return self._session_in(self.account)

    def session_of(self, account: str) -> boto3.Session:
        """Return a boto3 session with administrator credentials in another account of the same AWS.

        Args:
            account: The account's id, 12 digits. Every account exists and is empty at first.
        """
        _check_account(account)
        return self._session_in(account)

    def _session_in(self, account: str | None, region: str | None = None) -> boto3.Session:
        from localaws.server.clients import make_session

        account = account or self.account
        key = self._options.access_key_id if account == self.account else account
        secret = root_secret(self._options.secret, account)
        return make_session(self.endpoint_url, str(self.ca_file), key, secret, region or self.region)

    @functools.cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """Return a boto3 client of the session; the same one for each call."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service)
        return self._clients[service]

    @functools.cached_property
    def environment(self) -> Mapping[str, str]:
        """The variables for the CDK CLI, the AWS CLI and every AWS SDK, to be merged into your own."""
        return client_environment(
            folder=Path(self._ready.folder),
            endpoint_url=self.endpoint_url,
            authority=self.ca_file,
            access_key_id=self._options.access_key_id,
            secret_access_key=root_secret(self._options.secret, self.account),
            account=self.account,
            region=self.region,
        )

    def address_of_load_balancer(self, dns_name: str) -> Address:
        """Return the address of the load balancer with this `DNSName` attribute."""
        return addresses.of_load_balancer(dns_name, endpoint_url=self.endpoint_url, ca_file=self.ca_file)

    def address_of_api(self, api: str) -> Address:
        """Return the address of an API, by its id or URL."""
        return addresses.of_api(api, endpoint_url=self.endpoint_url, ca_file=self.ca_file)

    def address_of_function_url(self, url: str) -> Address:
        """Return the address of a function URL."""
        return addresses.of_function_url(url, endpoint_url=self.endpoint_url, ca_file=self.ca_file)

    def address_of_distribution(self, domain_name: str) -> Address:
        """Return the address of the distribution with this `DomainName` attribute."""
        return addresses.of_distribution(domain_name, endpoint_url=self.endpoint_url, ca_file=self.ca_file)

    def deliver_as(
        self,
        principal: str,
        source_arn: str,
        target: str,
        event: object,
        *,
        source_account: str | None = None,
        invocation_type: InvocationType | None = None,
        role: str | None = None,
        reads: Mapping[str, str] | None = None,
        event_source_token: str | None = None,
    ) -> Delivered:
        """Deliver the event of a service that is not emulated, as that service does.

        The policy of the target is asked for the principal, with the ARN and the account of the source.
        Functions are then invoked in the way of the service. What happens to an event that a function fails
        to process is as always: retries, destinations and dead-letter queues.

        Args:
            principal: The service: `"iot.amazonaws.com"`.
            source_arn: The resource that the event is about or from: the value of `aws:SourceArn`. Empty for
                Alexa, which calls for none.
            target: The ARN of a function, version or alias, of a queue, a topic, an event bus, or of an
                object that the service writes (SES).
            event: The event, as the service's documentation shows it. For an event bus the whole event; a
                text becomes the body of a message or of an object as it is.
            source_account: The value of `aws:SourceAccount`. Default: the account in `source_arn`, or that of
                this embedded AWS if it names none, as that of a bucket.
            invocation_type: For services that invoke functions both ways, and for those that are unknown
                here.
            role: The role that the service assumes instead of being allowed by the policy of the function
                (CodePipeline), or, for the principal `"lambda.amazonaws.com"`, the role of the function
                itself, whose event source Lambda polls (Amazon MQ).
            reads: What Lambda does at the event source with that role: resources by action.
            event_source_token: The id of the skill for which Alexa calls: `lambda:EventSourceToken`.

        Raises:
            ValueError: An argument is missing, or does not fit the others.
            botocore.exceptions.ClientError: The target refused the event, with the error of its API.

        Example::

            aws.deliver_as("iot.amazonaws.com", rule_arn, function_arn, {"temperature": 21})
        """
        if not self._options.bridges:
            raise LocalAwsError("deliver_as needs the bridges: start with LocalAws(), not bridges=False")
        request = request_to_deliver(
            principal,
            source_arn,
            target,
            event,
            source_account=source_account or self.account,
            invocation_type=invocation_type,
            role=role,
            reads=reads,
            event_source_token=event_source_token,
        )
        return outcome_of(self._call("POST", "/_localaws/deliver", request), target)

    def reset(self) -> None:
        """Return to an empty account: delete all resources, and stop all functions and deployments."""
        self._call("POST", "/_localaws/reset")

    def bootstrap(self, cdk: Path | None = None) -> None:
        """Prepare the account for the CDK, as `cdk bootstrap` does. Does nothing the second time.

        Args:
            cdk: The CDK CLI whose bootstrap template is deployed; by default the one on the PATH.

        Raises:
            CdkError: There is no CDK CLI.
        BootstrapError: Its template could not be deployed.
        """
        bootstrap.bootstrap(self.session, bootstrap.template_of(cdk or find_cli()))

    def deploy(
        self,
        app: App,
        stack: str | Sequence[str] | None = None,
        *,
        folder: Path | str | None = None,
        context: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        cdk: Path | None = None,
    ) -> Deployment:
        """Deploy a CDK app by the CDK CLI, and bootstrap the accounts and regions of its stacks before.

        Args:
            app: A command such as `"python app.py"`, the folder of an app with its `cdk.json`, the folder of
                a cloud assembly, an `aws_cdk.App`, or a function that takes an App and makes its stacks.
            stack: The stack to deploy, with those that it depends on, as `cdk deploy` takes it: its id,
                `"Prod/Orders"` in a stage, or a pattern. Or several. By default all of them.
            folder: The folder in which the command runs. By default the current folder.
            context: Context values, as with `cdk -c`.
            parameters: Values for parameters of the templates, by `"NAME"` or `"STACK:NAME"`.
            environment: Variables for the CLI and the app, in addition to yours.
            cdk: The CDK CLI. By default that of the app's `node_modules`, or that on the PATH.

        Raises:
            CdkError: There is no CDK CLI, or the app or its deployment failed.
        """
        names = _names(stack)
        for name, value in (environment or {}).items():
            if not isinstance(value, str):
                raise CdkError(f"environment={{{name!r}: {value!r}}}: the value of a variable must be a str")
        work = Path(self._ready.folder, "deployments", secrets.token_hex(4))
        where = Path(folder or "").resolve()
        if not where.is_dir():
            raise CdkError(f"folder={str(folder)!r}: there is no folder {where}")
        project = where / app if isinstance(app, (str, os.PathLike)) and (where / app).is_dir() else where
        variables = with_python(
            {"CDK_VALIDATION": "false", **os.environ, **self.environment, **(environment or {})}
        )
        work.mkdir(parents=True)
        program = cdk or find_cli(project, where, Path())
        command = CommandLine(program, work, variables)
        with _in_account(self.account, self.region):
            assembly = synthesise(
                app,
                work / "cdk.out",
                folder=where,
                context=context or {},
                command=command,
            )
        places = targets(assembly)
        self._bootstrap_for({place for _, place in places}, bootstrap.template_of(program))
        outputs = work / "outputs.json"
        words = [*names, "--require-approval", "never", "--progress", "events", "--method", "direct"]
        words += ["--app", str(assembly), "--outputs-file", str(outputs)]
        for name, value in (parameters or {}).items():
            words += ["--parameters", f"{name}={value}"]
        said = command.run("deploy", *words)
        written = json.loads(outputs.read_text("utf-8")) if outputs.exists() else {}
        stacks = _deployed(said, [name for name, _ in places], written)
        if not stacks:
            raise CdkError(
                f"stack={stack!r}: no stack was deployed; the app has {', '.join(dict(places)) or 'none'}"
            )
        sessions = {name: self._session_in(place.account, place.region) for name, place in places}
        words = [*names, "--force", "--app", str(assembly)]
        return Deployment(
            stacks, sessions=sessions, destroy=functools.partial(command.run, "destroy", *words)
        )

    def _bootstrap_for(self, places: Iterable[Target], template: str) -> None:
        for place in sorted(places, key=repr):
            account = place.account or self.account
            bootstrap.bootstrap(
                self._session_in(account, place.region),
                template,
                qualifier=None if place.qualifier == DEFAULT_QUALIFIER else place.qualifier,
                trusted_account=None if account == self.account else self.account,
            )

    def dropped_properties(self) -> list[Dropped]:
        """Return the properties that were deployed since the last reset and have no effect.

        Those of the CDK's bootstrap stack are omitted.
        """
        found = [Dropped(**entry) for entry in self._call("GET", "/_localaws/dropped")]
        return [dropped for dropped in found if not bootstrap.is_toolkit(dropped.stack)]

    def denied(self) -> list[Denied]:
        """Return what IAM has denied since the last reset, and why; the latest comes last."""
        return [Denied(**entry) for entry in self._call("GET", "/_localaws/denied")]

    def explain(self, since: float = 0) -> list[Explanation]:
        """Explain what IAM has denied since the last reset: `denied()` with the statements and the grant.

        Args:
            since: Only what was denied after this time, in seconds since 1970.

        Example::

            [why] = aws.explain()
            assert why.grants[0].actions == ("dynamodb:PutItem",)
            print(why)
        """
        return [
            Explanation.of(entry) for entry in self._call("GET", f"/_localaws/explanations?since={since}")
        ]

    @property
    def faults(self) -> Faults:
        """Faults to ask for: API calls that fail, functions that die, queues that deliver twice.

        Example::

            with aws.faults.api("dynamodb", "PutItem", error="ThrottlingException", times=2):
                deployed.invoke("Handler", order)
        """
        return Faults(self._call, self.client)

    def calls(self, after: int = 0) -> list[Call]:
        """Return the latest API calls since the last reset, oldest first, as far as IAM was asked for them.

        Args:
            after: Only those after the call with this number.
        """
        return [Call(**entry) for entry in self._call("GET", f"/_localaws/calls?after={after}")]

    def used_permissions(self) -> list[Used]:
        """Return the permissions that roles and users have used since the last reset, the latest last.

        Also what a service did with a role, such as the polling of a queue. A grant in a role's policy that
        allows none of them was not needed here. Services do not ask for permissions on the keys that encrypt
        queues, buckets, tables, topics and secrets here, as they do on AWS: keep grants of KMS actions.

        Example:
            >>> {used.action for used in aws.used_permissions() if ":assumed-role/Orders" in used.principal}
            {'dynamodb:PutItem'}
        """
        return [Used(**entry) for entry in self._call("GET", "/_localaws/used")]

    def usage(self) -> list[Usage]:
        """Return what AWS would bill of the requests since the last reset, by principal and unit.

        Not what a price list has by the hour, storage, traffic to the internet, and durations.

        Example:
            >>> {one.unit: one.amount for one in aws.usage() if ":assumed-role/Orders" in one.principal}
            {'DynamoDB write request units': 1.0}
        """
        return [Usage(**entry) for entry in self._call("GET", "/_localaws/usage")]

    @contextlib.contextmanager
    def paced(self, seconds_per_minute: float) -> Iterator[None]:
        """Change how long a documented minute takes here while the body runs.

        Args:
            seconds_per_minute: Seconds, from 0.001 to 60, which is real time. Without this it is what
                `LOCALAWS_SECONDS_PER_MINUTE` says, by default 2.
        """
        from localaws import pace  # late: it reads a setting, whose errors the server reports

        pace.check(seconds_per_minute)
        before = self._call("POST", "/_localaws/pace", seconds_per_minute)
        try:
            yield
        finally:
            self._call("POST", "/_localaws/pace", before)

    @contextlib.contextmanager
    def with_account_concurrency(self, executions: int) -> Iterator[None]:
        """Change how many concurrent executions of functions an account has, while the body runs.

        Args:
            executions: The number, for each account and Region.
        """
        _check_account_concurrency(executions)
        before = self._call("POST", "/_localaws/concurrency", executions)
        try:
            yield
        finally:
            self._call("POST", "/_localaws/concurrency", before)

    @contextlib.contextmanager
    def instances_answer(
        self, group: str, url: str, *, region: str | None = None, account: str | None = None
    ) -> Iterator[None]:
        """Let an HTTP server of yours be what listens on EC2 instances, while the body runs.

        No machines run here, and user data is never executed. Load balancers forward requests, and health
        checks, to the server instead of to the instances, on any port, if the security groups allow it.
        Without a server nothing listens on an instance.

        Args:
            group: The name of an Auto Scaling group, the ARN of a target group, or the id of an instance. An
                instance counts before its groups.
            url: Where the server is: `http://127.0.0.1:8080`.
            region: The Region of the group. Default: that of `session`.
            account: The account of the group. Default: that of `session`.

        Raises:
            ValueError: There is no such group or instance, or the URL is not that of an HTTP server on this
                machine.

        Example:
            ```python
            server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
            with aws.instances_answer(outputs["GroupName"], f"http://127.0.0.1:{server.server_port}"):
                ...
            ```
        """
        if not isinstance(group, str) or not group:
            raise ValueError(
                f"group={group!r}: give the name of an Auto Scaling group, the ARN of a target group, or the "
                "id of an instance"
            )
        addresses.check_server(url)
        request = {"account": account or self.account, "region": region or self.region, "group": group}
        answer = self._call("POST", "/_localaws/instances", {**request, "url": url})
        if answer["refused"]:
            raise ValueError(f"instances_answer: {answer['refused']}")
        try:
            yield
        finally:
            self._call("POST", "/_localaws/instances", {**request, "url": answer["before"]})

    @contextlib.contextmanager
    def with_broker(self, arn: str, url: str) -> Iterator[None]:
        """Let a real broker stand in for one of Amazon MQ while the body runs.

        Event source mappings with the ARN then read the queues of the real one, with the user in their
        secret. You start it, make that user, and declare the queues.

        Args:
            arn: The ARN of the broker of Amazon MQ.
            url: The real one on this machine: `amqp://127.0.0.1:5672` (RabbitMQ) or
                `stomp://127.0.0.1:61613` (ActiveMQ), without TLS. Only `localhost` and addresses of the
                loopback interface: user and password of the secret go there.

        Raises:
            ValueError: There is no such broker, or the URL does not fit its engine.

        Example:
            ```python
            with aws.with_broker(broker_arn, "amqp://127.0.0.1:5672"):
                channel.basic_publish("", "orders", b"...")
                ...
            ```
        """
        if not self._options.bridges:
            raise LocalAwsError("with_broker needs the bridges: start with LocalAws(), not bridges=False")
        if not re.fullmatch(r"arn:[^:]+:mq:[^:]+:\d{12}:broker:.+", arn):
            raise ValueError(f"arn={arn!r}: give the ARN of a broker of Amazon MQ")
        _check_broker_url(url)
        answer = self._call("POST", "/_localaws/broker", {"arn": arn, "url": url})
        if answer["refused"]:
            raise ValueError(f"with_broker: {answer['refused']}")
        try:
            yield
        finally:
            self._call("POST", "/_localaws/broker", {"arn": arn, "url": answer["before"]})

    @contextlib.contextmanager
    def with_viewers(self, places: Mapping[str, str]) -> Iterator[None]:
        """Say where the viewers of distributions are while the body runs: `CloudFront-Viewer-Country`.

        Args:
            places: Countries by the address of the viewer or a network, `{"127.0.0.1": "DE"}`, or countries
                with their region, `"US-MI"`. Viewers on this machine have addresses of 127.0.0.0/8.

        Raises:
            ValueError: It is no network, or no place.

        Example:
            ```python
            with aws.with_viewers({"127.0.0.0/8": "DE"}):
                ...
            ```
        """
        if not self._options.bridges:
            raise LocalAwsError("with_viewers needs the bridges: start with LocalAws(), not bridges=False")
        _check_places(places)
        given = {str(ipaddress.ip_network(network)): place for network, place in places.items()}
        before = self._call("POST", "/_localaws/viewers", given)
        try:
            yield
        finally:
            self._call("POST", "/_localaws/viewers", before)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        headers = {SECRET_HEADER: derived(self._options.secret, CONTROL)}
        request = urllib.request.Request(  # noqa: S310 (always https)
            self.endpoint_url + path,
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        # As long as the longest function runs.
        with opener.open(request, timeout=60 if body is None else 960) as response:
            return json.load(response)


def _names(stack: str | Sequence[str] | None) -> list[str]:
    """What the CLI is given for the stacks to deploy."""
    if stack is None:
        return ["**"]
    names = [stack] if isinstance(stack, str) else list(stack) if isinstance(stack, Iterable) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise CdkError(
            f"stack={stack!r}: give the name of a stack or a pattern, or several of them in a list"
        )
    return names


def _check_broker_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port  # the port raises an error beyond 65535
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (AttributeError, TypeError, ValueError):
        here, port = False, None
    if not (here and port and re.fullmatch(r"(amqp|stomp)://[^/@?#]+:\d+", url)):
        raise ValueError(
            f"url={url!r}: give amqp://HOST:PORT or stomp://HOST:PORT of this machine, such as "
            "amqp://127.0.0.1:5672"
        )


def _check_places(places: Mapping[str, str]) -> None:
    if not isinstance(places, Mapping):
        raise ValueError(f"places={places!r}: give a dict, such as {{'127.0.0.1': 'DE'}}")
    for network, place in places.items():
        if not isinstance(network, str):
            raise ValueError(f"places: {network!r}: give an address or a network, such as '127.0.0.0/8'")
        found = re.fullmatch(r"([A-Z]{2})(-[A-Z0-9]{1,3})?", place) if isinstance(place, str) else None
        if found is None or found[1] not in COUNTRIES:
            raise ValueError(
                f"places: {place!r}: give a country of ISO 3166-1, such as 'DE' or 'GB', or with a region, "
                "'US-MI'"
            )


def _check_region(region: str) -> None:
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise ValueError(f"region={region!r}: it must be the code of an AWS region, such as 'us-east-1'")


def _check_account_concurrency(executions: int) -> None:
    if isinstance(executions, bool) or not isinstance(executions, int) or executions < 1:
        raise ValueError(f"account_concurrency={executions!r}: give a number of executions from 1")


def _check_account(account: str) -> None:
    if not (isinstance(account, str) and account.isascii() and account.isdecimal() and len(account) == 12):
        raise ValueError(f"account={account!r}: an account id has 12 digits, such as '123456789012'")


@contextlib.contextmanager
def _in_account(account: str, region: str) -> Iterator[None]:
    """Set what the CLI sets for an app, for an app that is made in this process."""
    variables = {"CDK_DEFAULT_ACCOUNT": account, "CDK_DEFAULT_REGION": region}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
