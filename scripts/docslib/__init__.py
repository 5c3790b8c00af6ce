"""What scripts/check-docs generates beside the documents."""
