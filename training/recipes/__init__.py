"""The recipes: a folder for each family, a file or package in it for each model."""
