"""Health, metrics, the pre-flight check and the picture of how things stand."""
