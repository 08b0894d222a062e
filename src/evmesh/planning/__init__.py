"""Pure decisions: which car charges how much in which step, who is admitted, what a current is.

No I/O, no clock, no floats. Read `optimiser.py` first: it answers a problem with a schedule that
proves itself, or with a refusal that does; `greedy.py` under it is the algorithm.
"""
