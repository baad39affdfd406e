"""The command line: parse, call one function, print."""

from seistomo.cli import (
    benchmark,
    exchange,
    generalization,
    optimizer_cost,
    pipeline,
    simulate,
    simulate_benchmark,
    tomography_benchmark,
)
from seistomo.cli.app import app, main

__all__ = [
    "app",
    "benchmark",
    "exchange",
    "generalization",
    "main",
    "optimizer_cost",
    "pipeline",
    "simulate",
    "simulate_benchmark",
    "tomography_benchmark",
]
