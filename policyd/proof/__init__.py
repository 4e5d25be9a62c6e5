"""Is a ruleset what the policies mean, for every packet? Pure."""
