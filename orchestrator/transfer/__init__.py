"""The feeder: jobs become ranges, ranges become downloads of aria2; journal, rates and budgets."""
