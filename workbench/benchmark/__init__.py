"""Whole benchmarks from one plan file each: training, evaluation, tables.

The top layer: it uses `workbench.training` and `workbench.evaluation`, and only the command line uses it.
"""
