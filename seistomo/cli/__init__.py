"""The command line: parse, call one function, print."""

from seistomo.cli import benchmark, optimizer_cost, pipeline
from seistomo.cli.app import app, main

__all__ = ["app", "benchmark", "main", "optimizer_cost", "pipeline"]
