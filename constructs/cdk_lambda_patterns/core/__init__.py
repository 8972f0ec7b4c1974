"""What the architectures share: the hardened function, its options, limits, permissions, network, queues."""
