"""Data from outside, a module for each kind: read, validated, and split by a hash of each row.

A recipe's `given` is made here: of itself and a path it makes a Given, which the readers of training.data then give
in place of the recipe's own data. A row's side follows from its content alone, so it never changes when data is added.
"""
