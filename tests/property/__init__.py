"""Properties: what must hold for all worlds and packets."""
