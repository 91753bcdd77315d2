"""The container image: built, and tried under the limits that it is meant for."""
