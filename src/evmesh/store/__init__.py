"""The relational state: sessions, journal, effects, OCPP transactions, notary leaves, plans.

Read `schema.py` first, then `database.py`: one unit of work is one database transaction, and
what it wrote is durable when its block has ended. SQLAlchemy Core, no ORM; SQLite by default.
"""
