"""Episodic evaluation, held-out cohorts, statistics with intervals, and reports."""
