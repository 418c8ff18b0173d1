"""Activation plateaus: where and how they emerge, rebuilt from a real model and tested over many prompts."""

__version__ = "0.1.0"
