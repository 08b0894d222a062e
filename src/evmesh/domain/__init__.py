"""The ground floor: what every room talks about. No I/O, no clock, no third party.

Read `sessions.py` first: a charge as a state machine is the main noun; `units.py`, `money.py`
and `ids.py` are the words it is told in.
"""
