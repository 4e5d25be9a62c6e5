"""What NetworkPolicy means, over raw manifests: the judge that the product is measured against.

Standard library only; shares no code with what it judges, because the dangerous mistakes are in decoding.
Simple before fast: every packet reads the policies again, and nothing is kept between the directions.
"""

from tests.oracle.judge import Connection, Oracle
from tests.oracle.manifests import Manifest, Refused

__all__ = ["Connection", "Manifest", "Oracle", "Refused"]
