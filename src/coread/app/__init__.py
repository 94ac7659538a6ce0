"""The front door: settings, the page that wires the rooms, command line, web."""
