"""Tests of `orchestrator.serve.access`."""
