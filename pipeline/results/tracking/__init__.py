"""The door to MLflow: reaching it within a time limit, and what is shown of a run."""
