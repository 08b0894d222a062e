"""The use cases: what happens to one charge, in the order in which it happens.

Read `requests.py` (a driver asks), `payments.py` (money is secured), `stations.py` (the station
speaks), `control.py` (limits go out), `effects.py` (what is owed is sent), then `transitions.py`,
on which all of them stand: one transition is one database transaction. Services know ports and
never adapters.
"""
