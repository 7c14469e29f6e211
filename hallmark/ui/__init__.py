"""Pages on the registry, served to the browsers of one machine: `hallmark ui`."""
