"""The version. A constant, as looking it up in the installed metadata takes longer than all else at start."""

VERSION = "0.1.0"
