"""Encoders, pairs, objectives and the training loop."""
