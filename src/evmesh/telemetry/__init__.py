"""MQTT in and out, and the time series behind it. For looking: billing never reads any of this.

`topics.py` first: what a value looks like on the wire, as pure functions. `bus.py` publishes and follows
values, `ingest.py` takes everybody's values into a store (`store.py`) and acknowledges them after the
commit, `broker.py` starts a broker where nobody runs one. `presence.py` says what a dead publisher means
for its chargers.
"""
