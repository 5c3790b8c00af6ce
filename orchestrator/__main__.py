"""`python -m orchestrator` is the command, for those whose PATH has no `glm-aria`."""

from orchestrator.cli.main import program

if __name__ == "__main__":
    program()
