"""Tables in CSV files, as spreadsheets and programs write them."""
