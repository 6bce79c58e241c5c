"""Cohorts from a user's own files: a TOML file says what is what, the checks say what is wrong, the alarms what leaks."""
