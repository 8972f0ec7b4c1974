"""The handler of `provisioned-concurrency`: prices of parcels, by distances that are computed first."""
