"""Measurements. Each compares with a peer in one run, because absolute times mean little.

Run all with ``make bench``, or some with ``make bench ARGS="graph --nodes 1000"``.
"""
