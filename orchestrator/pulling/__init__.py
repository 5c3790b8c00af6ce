"""The flow: resolve, plan, transfer, prove, place, report."""
