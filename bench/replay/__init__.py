"""Real days again, under one policy or another: `python -m bench.replay --help`.

`loop.py` has the car model and the one loop that all policies live in; read it first. `queues.py` has the
policies to compare with, `planned.py` ours, `outcome.py` what is measured, `misreport.py` what lying earns.
"""
