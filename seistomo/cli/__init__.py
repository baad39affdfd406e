"""The command line: parse, call one function, print."""

from seistomo.cli import exchange, pipeline, simulate
from seistomo.cli.app import app, main

__all__ = ["app", "exchange", "main", "pipeline", "simulate"]
