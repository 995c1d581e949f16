"""Device, precision, threads, named random streams, environment."""
