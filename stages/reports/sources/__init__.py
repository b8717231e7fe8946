"""Readers of report exports: one module a format, each giving ``RawReport`` rows."""
