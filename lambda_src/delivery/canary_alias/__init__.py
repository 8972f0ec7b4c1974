"""The hooks of `canary-alias`: a smoke test before traffic shifts, a check of alias and errors afterwards."""
