"""Requests that no honest client sends, and what answers to them may look like."""
