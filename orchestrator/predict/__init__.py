"""Prediction: what was asked for, how often each model will be, and what that is worth."""
