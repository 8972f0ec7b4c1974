"""The handlers of `pipeline-events`: reports what happens in pipelines, and works as a step of one."""
