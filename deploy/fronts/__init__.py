"""Configurations of proxies in front of the service, and a trial of each."""
