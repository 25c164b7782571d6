"""What everybody speaks of: cases, outcomes, implementations, verdicts, checks, selections, errors, exit codes."""
