"""Torch building blocks: encoders, fusion, experts and gates."""
