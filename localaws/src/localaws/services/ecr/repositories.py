"""Repositories of templates, and what ECR refuses of their policies.

The emulator reads `EmptyOnDelete` only when it deletes a repository, and drops the filters of tags that are
an exception from immutability.

Faithful to: both properties; the texts that name the registry; names in lower case, in requests; the policy
of a repository has statements, and principals that exist.
Not to: images never expire. Creation templates, encryption with a key.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecr-repository.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html
https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ecr

from localaws.patching import Created, Handler, Properties, around, changes, recorded_only, resource
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.policy_documents import Malformed, invalid_principals, statements

_FILTERS = "imageTagMutabilityExclusionFilters"
_NAME = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
_REPOSITORY = re.compile(r"(The repository with name '[^']+' (?:does not exist|already exists))$")


recorded_only("AWS::ECR::Repository", "LifecyclePolicy", "EncryptionConfiguration.KmsKey")


@changes(ecr, "error_response_json")
def _error(stock: Callable[..., Any]) -> Callable[..., Any]:
    def with_registry(code: str, message: str, status: int) -> Any:
        registry = rf"\1 in the registry with id '{get_account_id()}'"
        return stock(code, _REPOSITORY.sub(registry, message), status)

    return with_registry


@around(ecr, "_create_repository")
@around(ecr, "_put_image_tag_mutability")
def _with_filters(stock: Callable[[Any], Any], data: dict[str, Any]) -> Any:
    answer = stock(data)
    if answer[0] < 400:
        found = data.get("imageTagMutabilityExclusionFilters") or []
        ecr._repositories[data["repositoryName"]][_FILTERS] = found
    return answer


@around(ecr, "_repo_shape")
def _repo_shape(stock: Callable[[Any], dict[str, Any]], repo: dict[str, Any]) -> dict[str, Any]:
    shown = {_FILTERS: repo[_FILTERS]} if repo.get(_FILTERS) else {}
    return {**stock(repo), **shown}


@resource("AWS::ECR::Repository").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    return _configured(stock(logical_id, properties, stack), properties)


@resource("AWS::ECR::Repository").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _configured(stock(physical_id, old, new, stack, logical_id), new)


def _configured(created: Created, properties: Properties) -> Created:
    properties.get("EmptyOnDelete")  # which the deletion reads
    filters = properties.get("ImageTagMutabilityExclusionFilters") or []
    ecr._repositories[created[0]][_FILTERS] = [
        {
            "filterType": one.get("ImageTagMutabilityExclusionFilterType", "WILDCARD"),
            "filter": one.get("ImageTagMutabilityExclusionFilterValue", ""),
        }
        for one in filters
    ]
    return created


@refuses("ecr", "CreateRepository")
def _name(request: Parameters) -> Refusal | None:
    if re.fullmatch(_NAME, str(request.get("repositoryName"))):
        return None
    return Refusal(
        "InvalidParameterException",
        "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular "
        f"expression '{_NAME}''",
    )


@refuses("ecr", "SetRepositoryPolicy")
def _policy(request: Parameters) -> Refusal | None:
    try:
        found = statements(request.get("policyText"))
    except Malformed:
        found = []
    if not found or any(any(invalid_principals(one)) for one in found):
        return Refusal(
            "InvalidParameterException",
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy "
            "provided'",
        )
    return None
