"""Exact checkers of what evmesh claims: trees, receipts, schedules.

Plain Python without third parties, small enough to read in one sitting, and sharing no code with
what makes the claims. Read `receipt.py` first: it is the list of what a receipt must show.
Hash and signature primitives come in through the `Signatures` port.
"""
