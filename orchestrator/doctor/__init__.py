"""Diagnosis of slow pulls: measurements, findings, and the history of pulls."""
