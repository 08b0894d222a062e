"""Simulated hardware and people: stations, meters, cars and drivers, on the real wire protocols.

Stations speak OCPP 1.6J over a WebSocket, drivers the HTTP API with signatures of their own wallets.
This room is written from the OCPP specification and imports only `domain` and `ports`: what our CSMS
has misread shows as a red test instead of as two matching mistakes. It can misbehave on purpose
(`misbehave.py`), and what hardware would remember (registers, unsent messages, plugged cars) is on disk.

Read `world.py` first, then `station.py`: a station is where the driver's side, the wire and the physics meet.
"""
