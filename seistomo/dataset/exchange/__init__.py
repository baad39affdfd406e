"""Other programs' formats: velocity models read, data sets written."""
