"""A throw-away node: pods as network namespaces, real servers, real packets."""
