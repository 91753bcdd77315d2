"""Load on a running service: Locust users, and a bench that compares the service with what bounds it."""
