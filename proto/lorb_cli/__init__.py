"""Helpers shared by the command lines of all packages."""
