"""Things we drive: chargers, meters, inverters and lamps that have no OCPP, and the gateway beside them.

Read `device.py` first (what a device is), then `template.py` (how a register device is described without
any Python) and `gateway.py` (how its values reach the cloud, and nothing is lost on the way).
"""
