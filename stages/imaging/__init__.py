"""DICOM ingestion and volume preparation."""
