"""OCPP 1.6: its messages, and what they mean in the domain's words. Read `router.py` first."""
