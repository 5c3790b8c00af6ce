"""The key with which boards in a Redis are sealed in tests."""

from __future__ import annotations

from orchestrator.swarm.tickets import FleetKeys

KEYS = FleetKeys.parse("a-key-of-boards-for-tests-only")
