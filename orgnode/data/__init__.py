"""Sample data of the package: `incidents.csv`, written for this project, for the demonstration."""
