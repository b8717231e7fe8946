"""Contracts between stages: Parquet schemas, tensor files and keyed ids. Imports no other folder."""
