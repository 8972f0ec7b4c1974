"""Dockerfile → container image → ECR repository → Lambda function, by the digest of the image.

Use it for dependencies beyond the 250 MB of a zip file (an image may have 10 GB), for libraries of the
operating system, or where all of your services are built as images. Do not use it for less: AWS patches the
runtime of a function from a zip file, but not that in your image, which you have to build again.
"""

from cdk_lambda_patterns.delivery.container_image.code import ContainerImageCode as ContainerImageCode
from cdk_lambda_patterns.delivery.container_image.construct import (
    ContainerImageFunction as ContainerImageFunction,
)
from cdk_lambda_patterns.delivery.container_image.repository import ImageRepository as ImageRepository
