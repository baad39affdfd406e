"""The command line: parse, call one function, print."""

from seistomo.cli import benchmark, exchange, pipeline, refine, simulate
from seistomo.cli.app import app, main

__all__ = ["app", "benchmark", "exchange", "main", "pipeline", "refine", "simulate"]
