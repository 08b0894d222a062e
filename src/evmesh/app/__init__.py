"""The roof: command line, HTTP API, configuration, and the composition of everything below.

Read `main.py` for the commands, `up.py` for the processes, `platform.py` for what they are made of:
it is the one place that knows every class.
"""
