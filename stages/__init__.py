"""SeLIP pipeline: each module directly in this package is one DVC stage, each folder a library."""
