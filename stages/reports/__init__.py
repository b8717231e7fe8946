"""Report sections, scrubbing, findings extraction, text encoding and text similarity."""
