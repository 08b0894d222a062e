"""The charging-station management system: OCPP 1.6J stations connect here over WebSocket.

Read `connection.py` first: one station from its handshake to its goodbye. It takes frames
(`frames.py`, pure), hands each CALL to `v16/router.py`, which checks it against the official schema
(`schemas.py`) and gives it to one handler per concern; those translate into the domain words of
`ports.ChargePointEvents` and answer only once these have returned, which is once the fact is durable.
The other way, `server.Csms` implements `ports.ChargePoint` with the commands of `v16/commands.py`.
"""
