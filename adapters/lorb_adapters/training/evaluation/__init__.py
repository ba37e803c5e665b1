"""Word errors, tuning on dev, calibration."""
