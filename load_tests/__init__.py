"""Load on a running service: Locust users, a bench, faults under load and hostile requests."""
