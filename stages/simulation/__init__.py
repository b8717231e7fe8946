"""The simulated cohort: anatomy, lesions, contrast, narration and DICOM writing."""
