"""What an offer may grant beyond what the driver signed: for who makes offers, and who checks them."""

from datetime import timedelta
from typing import Final

REQUEST_VALID: Final = timedelta(hours=1)
"""How far ahead a request's own deadline may lie: nobody can be held to an old wish."""

START_WITHIN: Final = timedelta(minutes=15)
"""How long after the request's deadline an offer may let a charge begin: time to pay and to plug in."""

END_GRACE: Final = timedelta(hours=1)
"""How long after the departure a station may take to end the session; it is told to at the departure."""
