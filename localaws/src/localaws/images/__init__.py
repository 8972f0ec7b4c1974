"""Container images without Docker: what `docker build` and `docker push` are for an app with image assets.

    Dockerfile -> build -> store -> push -> registry of the embedded AWS -> Lambda

The CDK CLI starts the program that `CDK_DOCKER` names for its image assets. `LocalAws.environment` names
`python -m localaws.images`, which builds the Dockerfiles of Lambda functions in Python, and sends them to the
embedded AWS only. `dockerfile` says which instructions there are, and what each refusal means.

Faithful to: the image that Docker makes of these instructions: layers and their order, configuration,
`.dockerignore`, build arguments, targets, platforms. The same input gives the same digests.
Not to: a base image is not fetched. `public.ecr.aws/lambda/python` stands for the Python that runs this, with
the variables, the folder and the entrypoint of AWS's image; `pip` installs wheels for this Python, whatever
the platform of the image.

https://docs.docker.com/reference/dockerfile/
https://github.com/opencontainers/image-spec/blob/main/layer.md
https://docs.aws.amazon.com/lambda/latest/dg/python-image.html
"""
