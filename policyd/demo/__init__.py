"""`policyd demo`: a throw-away node, real servers, real policies, and what they do to real connections."""
