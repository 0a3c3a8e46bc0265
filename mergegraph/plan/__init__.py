"""Plan the Graph: units with reads, tiles, order and peak memory."""
