"""The handler of `encrypted-environment`: payment links, signed with a secret that no variable contains."""
