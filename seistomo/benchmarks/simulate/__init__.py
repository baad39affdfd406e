"""How fast data sets are made, beside deepwave alone, and what each choice costs."""
