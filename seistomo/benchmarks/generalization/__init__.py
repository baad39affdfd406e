"""How a trained run does on data that it was not trained for."""
