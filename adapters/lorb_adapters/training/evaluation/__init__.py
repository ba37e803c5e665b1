"""Evaluation on lists: word errors, their breakdown and significance, tuning on dev, calibration."""
