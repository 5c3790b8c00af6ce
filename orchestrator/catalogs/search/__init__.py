"""Search by words at the sites that settings name, and one list of what each of them found."""
