"""Generators of raw manifests and of packets at their edges; see tests/strategies/worlds.py."""
