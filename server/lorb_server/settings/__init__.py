"""The fields of ServeConfig, by subject."""
