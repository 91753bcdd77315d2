"""From a trained module to a bundle that has been checked the way the service will use it."""
