"""Metrics, probes and statistics of the downstream evaluations."""
