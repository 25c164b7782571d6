"""Timing: how fast implementations are on this machine; what ``lossconf bench`` does."""
